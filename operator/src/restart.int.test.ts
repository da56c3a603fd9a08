/** A new operator that finds everything as the one before it left it has nothing to write, to the API server or to the broker. */
import { expect, test } from '@jest/globals';
import { eventually, manage, testBroker, testKubernetes } from '@warren/environment/testing';
import { conditionOf } from './conditions.ts';
import { brokerType } from './kubernetes/kubernetes-source.ts';
import type { BrokerResource } from './resources.ts';
import { kubernetesWorld, startClusterOperator } from './testing/kubernetes-world.ts';
import { recordKubernetesWrites } from './testing/kubernetes-writes.ts';

const events = ['OrderPlaced', 'payment.*'];
const kinds: readonly Record<string, unknown>[] = [
  { events },
  { events, delivery: { ordering: 'Strict' } },
  { events, delivery: { ordering: 'PerKey', partitions: 2 } },
  { events, queue: { type: 'classic', maxPriority: 3 } },
  { events, queue: { type: 'stream', maxAge: '1d' }, deletionPolicy: 'Delete' },
  // Refused, which is told once.
  { events, scaling: { engine: 'Hpa' }, consumer: { name: 'loyalty' } },
];

test('a restart with nothing changed writes nothing, be the first operator stopped as soon as all are Ready', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  using writes = recordKubernetesWrites();
  const brokers = world.cluster.resource<BrokerResource>(brokerType);
  const said = async () => (await brokers.get({ name: world.namespace })).status;
  // It looks at the broker when it starts, and not again while this test runs.
  await using first = startClusterOperator(kubeconfig, world, { resyncMs: 3_600_000 });
  await eventually(async () => conditionOf((await said())?.conditions, 'DriftEvents') !== undefined);
  const names = Array.from({ length: 18 }, (_, index) => `s${index}`);
  for (const [index, name] of names.entries()) await world.subscribe(name, kinds[index % kinds.length] ?? {});
  for (const name of names) await eventually(() => world.isReady(name));
  await first.stop();
  expect((await said())?.subscriptions).toBe(names.length);
  expect(writes.made.filter((write) => write.includes('/eventbrokers/')).length).toBeLessThan(10);

  const before = writes.made.length;
  expect(before).toBeGreaterThan(names.length);
  for (let restarts = 0; restarts < 2; restarts += 1) {
    await using again = startClusterOperator(kubeconfig, world, { resyncMs: 300 });
    await eventually(() => again.calls.made.filter((call) => call === 'overview').length >= 6);
    await again.stop();
    expect(again.calls.writes).toBe(0);
    expect(writes.made.slice(before)).toEqual([]);
  }

  {
    await using again = startClusterOperator(kubeconfig, world, { resyncMs: 300 });
    await eventually(() => again.calls.made.filter((call) => call === 'overview').length >= 3);
    const queue = `/api/queues/${broker.vhost}/${world.namespace}.s0.dead`;
    await manage(broker.managementUrl, 'DELETE', queue);
    // What was found as wanted is compared again when that has changed.
    await eventually(() => again.calls.made.filter((call) => call.startsWith('declareQueue')).length === 1);
    await eventually(() => world.isReady('s0'));
    await again.stop();
    await manage(broker.managementUrl, 'GET', queue);
  }

  // The last one that goes is told, too.
  await using last = startClusterOperator(kubeconfig, world, { resyncMs: 3_600_000 });
  await world.kubectl('delete', 'esub', 's4');
  await eventually(async () => (await said())?.subscriptions === names.length - 1);
  await last.stop();
}, 60_000);
