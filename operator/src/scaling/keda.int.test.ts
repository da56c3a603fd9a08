import { expect, test } from '@jest/globals';
import type { CustomResource, KubernetesObject } from '@warren/controller';
import {
  dedicatedKubernetes,
  eventually,
  testBroker,
  testKedaDefinitions,
} from '@warren/environment/testing';
import { Registry } from 'prom-client';
import { conditionOf } from '../conditions.ts';
import { startServer } from '../server.ts';
import { kubernetesWorld } from '../testing/kubernetes-world.ts';
import { deployment, leadMetricsTo, startScalingOperator } from '../testing/scaling-world.ts';

/** What waits for several control loops, each of which looks every few seconds. Probes start processes, so not too often. */
const soon = <T>(probe: () => Promise<T> | T) => eventually(probe, { timeoutMs: 90_000, intervalMs: 200 });

const scaledObjectType = {
  ...{
    group: 'keda.sh',
    version: 'v1alpha1',
    kind: 'ScaledObject',
    plural: 'scaledobjects',
    namespaced: true,
  },
};
const definitionType = {
  ...{ group: 'apiextensions.k8s.io', version: 'v1', kind: 'CustomResourceDefinition' },
  ...{ plural: 'customresourcedefinitions', namespaced: false },
};
interface ScaledObject extends KubernetesObject {
  spec: { minReplicaCount: number; triggers: { type: string; metadata: Record<string, string> }[] };
}

test('with KEDA’s real definitions, Auto changes over to a ScaledObject that reads the operator’s number', async () => {
  await using kubernetes = await dedicatedKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world, { lookAgainMs: 500 });
  await leadMetricsTo(world.cluster, world.namespace, operator.port);
  await deployment(world.cluster, world.namespace, 'loyalty', 2);
  const spec = (engine: string) => ({
    ...{ events: ['OrderPlaced'], consumer: { name: 'loyalty' } },
    scaling: { minReplicas: 0, maxReplicas: 7, drainWithin: '2m', engine },
  });
  const autoscaler = () => world.kubectl('get', 'hpa', '-o', 'name');
  const reasonOf = async () =>
    conditionOf((await world.get('loyalty'))?.status?.conditions, 'Scaling')?.reason;

  await world.subscribe('loyalty', spec('Keda'));
  await soon(async () => (await reasonOf()) === 'KedaNotInstalled');
  expect(await autoscaler()).toBe('');
  await world.subscribe('loyalty', spec('Auto'));
  await soon(async () => (await autoscaler()).includes('loyalty-scaling'));

  const definitions = world.cluster.resource<CustomResource<unknown, unknown>>(definitionType);
  for (const definition of await testKedaDefinitions())
    await definitions.create(definition as unknown as CustomResource<unknown, unknown>);
  const client = world.cluster.resource<ScaledObject>(scaledObjectType);
  const ref = { namespace: world.namespace, name: 'loyalty-scaling' };
  const found = await soon(async () => await client.find(ref));
  expect(found.spec).toEqual({
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'loyalty' },
    ...{ pollingInterval: 5, cooldownPeriod: 120, minReplicaCount: 0, maxReplicaCount: 7 },
    advanced: { horizontalPodAutoscalerConfig: { behavior: expect.any(Object) } },
    triggers: [
      {
        type: 'metrics-api',
        metricType: 'AverageValue',
        metadata: {
          url: `http://warren.${world.namespace}.svc/scaling/${world.namespace}/loyalty`,
          ...{ valueLocation: 'desired', targetValue: '1', activationTargetValue: '0' },
        },
      },
    ],
  });
  expect(await autoscaler()).toBe('');
  const status = await soon(async () => {
    const { replicas } = (await world.get('loyalty'))?.status ?? {};
    return replicas?.desired === undefined ? undefined : replicas;
  });
  expect(status).toEqual({ engine: 'Keda', current: 2, desired: 2 });

  // What KEDA will read at that address.
  await using server = await startServer({
    ...{ port: 0, registry: new Registry(), notReady: () => [], metricOf: operator.metricOf },
  });
  const read = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}/scaling/${path}`);
    return { status: response.status, body: await response.json() };
  };
  expect(await read(`${world.namespace}/loyalty`)).toEqual({ status: 200, body: { desired: 2 } });
  expect((await read(`${world.namespace}/nobody`)).status).toBe(404);
  operator.calls.before = (call) => {
    if (call === 'queueActivity') throw new Error('no statistics');
  };
  await soon(async () => (await read(`${world.namespace}/loyalty`)).status === 503);

  await world.kubectl(
    'patch',
    'scaledobject',
    ref.name,
    '--type=merge',
    '-p',
    '{"spec":{"maxReplicaCount":99}}',
  );
  await soon(async () => JSON.stringify((await client.get(ref)).spec).includes('"maxReplicaCount":7'));
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await soon(async () => (await client.find(ref)) === undefined);

  // KEDA refuses a longer one; what an operator that did not know that has made goes.
  const name = 'payment'.repeat(9);
  await world.subscribe(name, spec('Keda'));
  const made = await soon(async () => {
    const { items } = await client.list({ namespace: world.namespace });
    return items.find(({ metadata }) => metadata.name.startsWith('payment'));
  });
  expect(`keda-hpa-${made.metadata.name}`).toHaveLength(63);
  const { labels, ownerReferences } = made.metadata;
  const former = { name: `${name}-scaling`, namespace: world.namespace };
  await client.create({ ...made, metadata: { ...former, labels, ownerReferences } } as ScaledObject);
  await soon(async () => (await client.find(former)) === undefined);
  expect(await client.find(made.metadata)).toBeDefined();
}, 240_000);
