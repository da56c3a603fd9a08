import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { KubernetesObject } from '@warren/controller';
import { dedicatedKubernetes, eventually, testBroker } from '@warren/environment/testing';
import type { DedicatedKubernetes } from '@warren/environment/testing';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { conditionOf } from '../conditions.ts';
import { kubernetesWorld } from '../testing/kubernetes-world.ts';
import type { KubernetesWorld } from '../testing/kubernetes-world.ts';
import { recordKubernetesWrites } from '../testing/kubernetes-writes.ts';
import { deployment, leadMetricsTo, startScalingOperator } from '../testing/scaling-world.ts';
import { virtualHost } from '../testing/virtual-host.ts';

/** What waits for several control loops, each of which looks every few seconds. Probes start processes, so not too often. */
const soon = <T>(probe: () => Promise<T> | T) => eventually(probe, { timeoutMs: 90_000, intervalMs: 200 });

/** A cluster has one server of external metrics: these tests have a cluster of their own. */
let kubernetes: DedicatedKubernetes;
beforeAll(async () => {
  kubernetes = await dedicatedKubernetes();
});
afterAll(async () => {
  await kubernetes[Symbol.asyncDispose]();
});

interface Autoscaler extends KubernetesObject {
  spec: { minReplicas: number; maxReplicas: number };
  status?: { desiredReplicas?: number; conditions?: { type: string; status: string; reason: string }[] };
}

const autoscalerType = {
  ...{ group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler' },
  ...{ plural: 'horizontalpodautoscalers', namespaced: true },
};
const autoscalers = (world: KubernetesWorld) => ({
  client: world.cluster.resource<Autoscaler>(autoscalerType),
  get: (name: string) =>
    world.cluster
      .resource<Autoscaler>(autoscalerType)
      .find({ namespace: world.namespace, name: `${name}-scaling` }),
});
const spec = (name: string, scaling: Record<string, unknown> = {}) => ({
  events: ['OrderPlaced'],
  consumer: { name },
  scaling: { engine: 'Hpa', ...scaling },
});
const ids = (count: number) => Array.from({ length: count }, (_, index) => String(index));
const settingsOf = (queue: string, prefetch: number): ConsumerSettings => ({
  ...{ subscription: 'shop/loyalty', queue, prefetch, attempts: 5, retry: { mode: 'broker' }, strict: false },
  deadLetter: { exchange: 'failed_events', routingKey: queue },
});
const scalingOf = async (world: KubernetesWorld, name: string) => {
  const { conditions, replicas } = (await world.get(name))?.status ?? {};
  return { ...conditionOf(conditions, 'Scaling'), replicas };
};

test('a backlog scales the Deployment out through the autoscaler, which asks the operator', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world, { sampleMs: 5_000 });
  await leadMetricsTo(world.cluster, world.namespace, operator.port);
  const workload = await deployment(world.cluster, world.namespace, 'loyalty', 1);
  await world.subscribe('loyalty', spec('loyalty', { maxReplicas: 8, drainWithin: '30s' }));
  await soon(() => world.isReady('loyalty'));
  const queue = `${world.namespace}.loyalty`;
  // One replica that gets 20 a second done.
  host.consume(settingsOf(queue, 1), () => new Promise((done) => setTimeout(done, 50)));
  await host.publish('order.placed', ids(3_000));
  // Of 3,000 in 30 s at 20 a second each, 5 are needed.
  await soon(async () => (await workload.replicas()) >= 4);
  expect(await workload.replicas()).toBeLessThanOrEqual(8);
  const said = await scalingOf(world, 'loyalty');
  expect(said).toMatchObject({ status: 'True', reason: 'Demand', replicas: { engine: 'Hpa' } });
  expect(said.message).toMatch(/^[4-8] replicas: \d+ messages to handle within 30 s/);
  expect(await world.told('loyalty')).toContain('Normal ScalingOut');
  const found = await autoscalers(world).get('loyalty');
  expect(found?.status?.conditions).toContainEqual(
    expect.objectContaining({ type: 'ScalingActive', status: 'True', reason: 'ValidMetricFound' }),
  );
}, 240_000);

test('from zero a message wakes the workload; what the broker does not tell scales nothing', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world);
  await leadMetricsTo(world.cluster, world.namespace, operator.port);
  const workload = await deployment(world.cluster, world.namespace, 'loyalty', 0);
  const asleep = await deployment(world.cluster, world.namespace, 'payment', 3);
  let silent = false;
  operator.calls.before = (call) => {
    if (call === 'queueActivity' && silent) throw new Error('no statistics');
  };
  await world.subscribe('loyalty', spec('loyalty', { minReplicas: 0 }));
  await soon(() => world.isReady('loyalty'));
  await host.publish('order.placed', ['a']);
  await soon(async () => (await workload.replicas()) === 1);
  await soon(async () => (await scalingOf(world, 'loyalty')).reason === 'NotConsuming');

  silent = true;
  await world.subscribe('payment', spec('payment', { minReplicas: 1 }));
  await soon(async () => (await scalingOf(world, 'payment')).reason === 'StatisticsMissing');
  const { replicas, status } = await scalingOf(world, 'payment');
  expect({ replicas, status }).toEqual({ replicas: { engine: 'Hpa', current: 3 }, status: 'Unknown' });
  await soon(async () => {
    const found = await autoscalers(world).get('payment');
    return found?.status?.conditions?.some(({ reason }) => reason === 'FailedGetExternalMetric');
  });
  expect(await asleep.replicas()).toBe(3);
}, 240_000);

test('the autoscaler is written once, repaired, and goes with spec.scaling; somebody else’s is left alone', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubernetes.kubeconfig, broker);
  await using operator = await startScalingOperator(kubernetes.kubeconfig, world);
  await leadMetricsTo(world.cluster, world.namespace, operator.port);
  const { client, get } = autoscalers(world);
  await deployment(world.cluster, world.namespace, 'loyalty', 1);
  await world.subscribe('loyalty', spec('loyalty'));
  await soon(async () => (await scalingOf(world, 'loyalty')).status === 'True');
  const first = await get('loyalty');
  expect(first?.spec).toMatchObject({ minReplicas: 1, maxReplicas: 10 });
  expect(first?.metadata.ownerReferences).toHaveLength(1);

  await world.kubectl('patch', 'hpa', 'loyalty-scaling', '-p', '{"spec":{"maxReplicas":99}}');
  await soon(async () => (await get('loyalty'))?.spec.maxReplicas === 10);
  await world.kubectl('delete', 'hpa', 'loyalty-scaling');
  await soon(async () => (await get('loyalty')) !== undefined);

  // A younger subscription that would scale the same workload waits.
  await world.subscribe('bonus', spec('loyalty'));
  await soon(async () => (await scalingOf(world, 'bonus')).reason === 'ConsumerTaken');
  expect(await get('bonus')).toBeUndefined();

  await client.create({
    metadata: { name: 'payment-scaling', namespace: world.namespace },
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'other' }, maxReplicas: 2 },
  } as unknown as Autoscaler);
  await world.subscribe('payment', spec('payment'));
  await soon(async () => (await scalingOf(world, 'payment')).reason === 'AutoscalerTaken');
  expect((await get('payment'))?.spec.maxReplicas).toBe(2);

  // A new operator finds nothing to write: no autoscaler, no status of whatever kind, no story.
  await operator.stop();
  using writes = recordKubernetesWrites();
  const before = await get('loyalty');
  await using again = await startScalingOperator(kubernetes.kubeconfig, world, { port: operator.port });
  await soon(() => again.calls.made.filter((call) => call === 'queueActivity').length > 10);
  expect((await get('loyalty'))?.metadata.generation).toBe(before?.metadata.generation);
  expect(writes.made).toEqual([]);
  expect(again.calls.writes).toBe(0);

  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await soon(async () => (await get('loyalty')) === undefined);
  await soon(async () => (await scalingOf(world, 'loyalty')).reason === undefined);
}, 240_000);
