/** What holds where the API server gives a subscription its finalizer at its creation (charts/warren, ADR 0030). */
import { expect, test } from '@jest/globals';
import { silentLog } from '@warren/controller';
import { helmBinary } from '@warren/environment';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { policyOf } from '@warren/topology';
import { conditionOf } from '../conditions.ts';
import type { SubscriptionResource } from '../resources.ts';
import { finalizersAtCreation } from '../testing/admission.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import type { ClusterOperator, KubernetesWorld } from '../testing/kubernetes-world.ts';
import type { CallName } from '../testing/recording-client.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { KubernetesSource } from './kubernetes-source.ts';

const events = ['OrderPlaced'];

async function shop() {
  const { kubeconfig } = await testKubernetes();
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const world = stack.use(await kubernetesWorld(kubeconfig, broker));
  stack.use(await finalizersAtCreation(world, await helmBinary()));
  const host = stack.use(virtualHost(broker));
  const all = stack.move();
  return {
    ...{ world, host },
    queueOf: (name: string) => `${world.namespace}.${name}`,
    start: () => startClusterOperator(kubeconfig, world),
    queues: async () => (await host.api.inventory()).queues.map(({ name }) => name).sort(),
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}

const finalizersOf = (resource: SubscriptionResource | undefined) => resource?.metadata.finalizers ?? [];

async function reasonOf(world: KubernetesWorld, name: string) {
  return conditionOf((await world.get(name))?.status?.conditions, 'TopologyInSync')?.reason;
}

async function isGone(world: KubernetesWorld, name: string) {
  return (await world.get(name)) === undefined;
}

/** Until the operator comes to a call; there it ends, as by a crash: neither is the call made nor anything said any more. */
async function endAt(operator: ClusterOperator, where: CallName, look = async () => {}): Promise<void> {
  const reached = Promise.withResolvers<undefined>();
  const death = Promise.withResolvers<never>();
  death.promise.catch(() => undefined);
  operator.calls.before = async (call) => {
    if (call !== where) return;
    reached.resolve(undefined);
    await death.promise;
  };
  await reached.promise;
  await look();
  const stopped = operator.stop();
  death.reject(new Error('the operator has ended'));
  await stopped;
}

test('it becomes Ready with nothing written to it but its status', async () => {
  await using it = await shop();
  await using _operator = it.start();
  await it.world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await eventually(() => it.world.isReady('loyalty'));
  const found = await it.world.get('loyalty');
  expect(finalizersOf(found)).toEqual(['warren.events/topology']);
  const written = found?.metadata.managedFields?.filter(({ manager }) => manager === 'warren-operator') ?? [];
  expect(written.map(({ subresource }) => subresource)).toEqual(['status']);
  await it.world.kubectl('delete', 'esub', 'loyalty', '--timeout=30s');
  expect(await it.queues()).toEqual([]);
});

test("somebody else's queue is left as it is, and so it is when the subscription goes", async () => {
  await using it = await shop();
  await it.host.declareByHand(it.queueOf('loyalty'));
  await it.world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await it.world.subscribe('payment', { events, deletionPolicy: 'Delete' });
  await it.host.declareByHand(it.queueOf('payment'));
  // As by an operator that foresaw the policies before the queues were there, and ended.
  const theirs = ['loyalty', 'payment'].map(it.queueOf);
  await it.host.api.putPolicy(policyOf({ 'delivery-limit': 25 }, 0, theirs));
  await it.world.kubectl('delete', 'esub', 'payment', '--wait=false');
  await using _operator = it.start();
  await eventually(async () => (await reasonOf(it.world, 'loyalty')) === 'Conflict');
  expect(finalizersOf(await it.world.get('loyalty'))).toEqual([]);
  // Deleted before anybody looked.
  await eventually(() => isGone(it.world, 'payment'));
  await it.world.kubectl('delete', 'esub', 'loyalty', '--timeout=10s');
  expect(await it.queues()).toEqual(theirs);
  await eventually(async () => (await it.host.api.inventory()).policies.length === 0);
});

test.each([
  ['paused', { annotations: { 'warren.events/paused': 'true' } }, {}, 'Paused'],
  ['unmanaged', { annotations: { 'warren.events/unmanaged': 'true' } }, {}, 'Unmanaged'],
  ['waiting for a broker that is not there', {}, { brokerRef: { name: 'nobody' } }, 'BrokerNotFound'],
])(
  '%s from the beginning, it has claimed nothing and goes at once',
  async (_what, metadata, spec, reason) => {
    await using it = await shop();
    await using operator = it.start();
    await it.world.subscribe('loyalty', { events, ...spec }, metadata);
    await eventually(async () => (await reasonOf(it.world, 'loyalty')) === reason);
    expect(finalizersOf(await it.world.get('loyalty'))).toEqual([]);
    expect(operator.calls.made).not.toContain('declareQueue');
    await it.world.kubectl('delete', 'esub', 'loyalty', '--timeout=10s');
    expect(await isGone(it.world, 'loyalty')).toBe(true);
  },
);

test('a status of one that was made anew in the meantime claims nothing for the next one of its name', async () => {
  await using it = await shop();
  const { cluster } = it.world;
  await using source = new KubernetesSource({ cluster, instance: 'test', log: silentLog });
  await it.world.subscribe('loyalty', { events });
  const before = (await it.world.get('loyalty'))!;
  await source.removeFinalizer(before);
  const unclaimed = (await it.world.get('loyalty'))!;
  expect(await source.writeSubscriptionStatus(unclaimed, { queue: 'first' })).toBe(true);
  await it.world.kubectl('delete', 'esub', 'loyalty', '--timeout=10s');
  await it.world.subscribe('loyalty', { events });
  for (const known of [before, unclaimed])
    await expect(source.writeSubscriptionStatus(known, { queue: 'second' })).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
  const anew = await it.world.get('loyalty');
  expect(finalizersOf(anew)).toEqual(['warren.events/topology']);
  expect(anew?.status).toBeUndefined();
});

test('an operator that ends in the middle of making its queues is followed by one that knows them', async () => {
  await using it = await shop();
  await using dying = it.start();
  await it.world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await endAt(dying, 'bind');
  expect((await it.world.get('loyalty'))?.status).toBeUndefined();
  expect(await it.queues()).toContain(it.queueOf('loyalty'));
  await using _next = it.start();
  await eventually(() => it.world.isReady('loyalty'));
  expect(await it.host.keysOf(it.queueOf('loyalty'))).toEqual(['order.placed']);
  expect((await it.world.told('loyalty')).filter((one) => one.startsWith('Warning'))).toEqual([]);
});

test('deleted after an operator ended in the middle of making its queues, it takes them along', async () => {
  await using it = await shop();
  await using dying = it.start();
  await it.world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await endAt(dying, 'bind');
  await it.world.kubectl('delete', 'esub', 'loyalty', '--wait=false');
  await using _next = it.start();
  await eventually(() => isGone(it.world, 'loyalty'));
  expect(await it.queues()).toEqual([]);
});

test.each([
  ['a stream', { queue: { type: 'stream', maxAge: '1d' }, deletionPolicy: 'Delete' }],
  ['partitions', { delivery: { ordering: 'PerKey' } }],
])('%s does not tell whose it is: the status does, before anything is made', async (_what, spec) => {
  await using it = await shop();
  await using dying = it.start();
  await it.world.subscribe('loyalty', { events, ...spec });
  await endAt(dying, 'declareQueue', async () => {
    expect(await reasonOf(it.world, 'loyalty')).toBe('Making');
  });
  await using _next = it.start();
  await eventually(() => it.world.isReady('loyalty'), { timeoutMs: 60_000 });
});
