// What keda.int.test.ts cannot say: that a KEDA takes what the operator writes, and that the replicas follow. `npm run test:keda`.
import { expect, test } from '@jest/globals';
import type { KubernetesObject } from '@warren/controller';
import {
  dedicatedKubernetes,
  eventually,
  testBroker,
  testKeda,
  testKedaDefinitions,
} from '@warren/environment/testing';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { Registry } from 'prom-client';
import { conditionOf } from '../conditions.ts';
import { startServer } from '../server.ts';
import { kubernetesWorld } from '../testing/kubernetes-world.ts';
import {
  deployment,
  leadMetricsTo,
  recordReplicas,
  SERVICE,
  startScalingOperator,
} from '../testing/scaling-world.ts';
import { serviceProxy } from '../testing/service-proxy.ts';
import { virtualHost } from '../testing/virtual-host.ts';

/** KEDA looks every 5 s and the autoscaler too; the way down waits a minute twice, for nothing to come and then for the engine. */
const soon = <T>(probe: () => Promise<T> | T) => eventually(probe, { timeoutMs: 180_000, intervalMs: 200 });

interface Conditioned extends KubernetesObject {
  status?: { conditions?: { type: string; status: string; reason: string }[] };
}
interface Autoscaler extends Conditioned {
  metadata: KubernetesObject['metadata'];
  spec: { minReplicas: number; maxReplicas: number; behavior: Record<string, unknown> };
}
const scaledObjectType = {
  ...{ group: 'keda.sh', version: 'v1alpha1', kind: 'ScaledObject' },
  ...{ plural: 'scaledobjects', namespaced: true },
};
const autoscalerType = {
  ...{ group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler' },
  ...{ plural: 'horizontalpodautoscalers', namespaced: true },
};
const settingsOf = (queue: string): ConsumerSettings => ({
  ...{ subscription: 'shop/loyalty', queue, prefetch: 1, attempts: 5 },
  ...{ retry: { mode: 'broker' }, strict: false },
  deadLetter: { exchange: 'failed_events', routingKey: queue },
});
const EXTERNAL_METRICS = '/apis/external.metrics.k8s.io/v1beta1';

test('a running KEDA wakes the Deployment for a backlog, scales it out, holds still while nothing is known, and goes back to zero', async () => {
  await using kubernetes = await dedicatedKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using host = virtualHost(broker);
  const { namespace, cluster } = world;
  for (const definition of await testKedaDefinitions())
    await cluster.apply(definition as unknown as KubernetesObject);
  await world.kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all');
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world, { lookAgainMs: 500 });
  await using server = await startServer({
    ...{ port: 0, registry: new Registry(), notReady: () => [], metricOf: operator.metricOf },
  });
  await using service = await serviceProxy(`${SERVICE}.${namespace}.svc`, server.port);
  await using keda = await testKeda({
    ...{ kubeconfig: kubernetes.kubeconfig, namespace, httpProxy: service.url },
  });
  await leadMetricsTo(cluster, namespace, keda.adapterPort, {
    ...{ name: keda.adapterService, authority: keda.authority },
  });
  const workload = await deployment(cluster, namespace, 'loyalty', 0);
  await using replicas = await recordReplicas(workload, namespace);
  await world.subscribe('loyalty', {
    ...{ events: ['OrderPlaced'], consumer: { name: 'loyalty' } },
    scaling: { minReplicas: 0, maxReplicas: 8, drainWithin: '30s' },
  });
  await soon(() => world.isReady('loyalty'));
  const scaling = async () => conditionOf((await world.get('loyalty'))?.status?.conditions, 'Scaling');
  const ref = { namespace, name: 'loyalty-scaling' };
  const ofScaledObject = async (type: string) => {
    const found = await cluster.resource<Conditioned>(scaledObjectType).find(ref);
    return found?.status?.conditions?.find((one) => one.type === type);
  };
  const isAsleep = async () => (await ofScaledObject('Active'))?.status === 'False';

  // Taken, with nothing to do; the server of external metrics is KEDA's, which is no obstacle.
  await soon(async () => (await ofScaledObject('Ready'))?.status === 'True' && (await isAsleep()));
  expect(await scaling()).toMatchObject({ status: 'True', reason: 'Idle' });
  expect((await world.get('loyalty'))?.status?.replicas).toMatchObject({ engine: 'Keda', desired: 0 });
  const autoscaler = await cluster
    .resource<Autoscaler>(autoscalerType)
    .get({ namespace, name: `keda-hpa-${ref.name}` });
  expect(autoscaler.spec).toMatchObject({
    ...{ minReplicas: 1, maxReplicas: 8 },
    behavior: {
      scaleUp: { stabilizationWindowSeconds: 0, tolerance: '0' },
      scaleDown: { stabilizationWindowSeconds: 60, tolerance: '0' },
    },
  });
  expect((await world.kubectl('get', 'hpa', '-o', 'name')).trim().split('\n')).toHaveLength(1);
  expect(replicas.seen).toEqual([0]);

  // From zero: an event wakes one. Of 3,000 in 30 s at 20 a second each, 5 are needed.
  const queue = `${namespace}.loyalty`;
  await host.publish('order.placed', ids(0, 1));
  await soon(() => replicas.seen.at(-1) === 1);
  let perEventMs = 50;
  host.consume(settingsOf(queue), () => new Promise((done) => setTimeout(done, perEventMs)));
  await host.publish('order.placed', ids(1, 3_000));
  await soon(() => (replicas.seen.at(-1) ?? 0) >= 4);
  await soon(async () => (await ofScaledObject('HPAActive'))?.status === 'True');
  const desired = (await world.get('loyalty'))?.status?.replicas?.desired ?? 0;
  expect(desired).toBeGreaterThanOrEqual(4);
  const selector = `labelSelector=${encodeURIComponent(`scaledobject.keda.sh/name=${ref.name}`)}`;
  const metric = 's0-metric-api-desired';
  await soon(async () => {
    const path = `${EXTERNAL_METRICS}/namespaces/${namespace}/${metric}?${selector}`;
    const answer = JSON.parse(await world.kubectl('get', '--raw', path)) as { items: { value: string }[] };
    const now = (await world.get('loyalty'))?.status?.replicas?.desired;
    return answer.items[0]?.value === String(now);
  });

  // What the operator does not know it answers with an error, and KEDA and its autoscaler leave everything as it is.
  operator.calls.before = (call) => {
    if (call === 'queueActivity') throw new Error('no statistics');
  };
  await soon(async () => (await scaling())?.reason === 'StatisticsMissing');
  const held = replicas.seen.length;
  await soon(async () => (await ofScaledObject('Ready'))?.reason === 'TriggerError');
  await soon(async () => (await ofScaledObject('HPAActive'))?.reason === 'FailedGetExternalMetric');
  expect(replicas.seen).toHaveLength(held);
  operator.calls.before = () => undefined;

  // And back: once they are handled and nothing comes, nobody is left.
  perEventMs = 0;
  await soon(async () => (await scaling())?.reason === 'Idle');
  await soon(() => replicas.seen.at(-1) === 0);
  expect(Math.max(...replicas.seen)).toBeLessThanOrEqual(8);
  expect(service.asked).toContain(`200 /scaling/${namespace}/loyalty`);
  await soon(isAsleep);

  // What the operator takes back, KEDA takes back too.
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await soon(async () => (await world.kubectl('get', 'scaledobjects,hpa', '-o', 'name')).trim() === '');
}, 600_000);

const ids = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => String(from + index));
