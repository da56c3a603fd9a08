import { expect, test } from '@jest/globals';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { kubernetesWorld } from '../testing/kubernetes-world.ts';
import { isWorking as leads } from '../testing/operator-process.ts';
import { virtualHost } from '../testing/virtual-host.ts';

test('of two operators one works; when it is killed in the middle of its work the other one finishes it', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using host = virtualHost(broker);
  const first = world.spawnOperator();
  await eventually(() => leads(first));
  const second = world.spawnOperator();
  await eventually(() => second.log.some(({ self, leader }) => leader !== undefined && self === false));
  const names = Array.from({ length: 40 }, (_, index) => `s${index}`);
  await Promise.all(names.map((name) => world.subscribe(name, { events: ['OrderPlaced'] })));
  await eventually(async () => (await host.api.inventory()).queues.length > 5);
  expect(await first.kill('SIGKILL')).toBe('SIGKILL');
  expect(leads(second)).toBe(false);

  await eventually(() => leads(second), { timeoutMs: 40_000 });
  for (const name of names) await eventually(() => world.isReady(name));
  const { queues, bindings } = await host.api.inventory();
  expect(queues).toHaveLength(80);
  expect(bindings.filter(({ source }) => source === 'events')).toHaveLength(40);
  expect(second.log.filter(({ reason }) => reason === 'Drifted')).toEqual([]);

  expect(await second.kill('SIGTERM')).toBe('code 0');
  // It has given the lease back: the next one need not wait for it to run out.
  const third = world.spawnOperator();
  await eventually(() => leads(third), { timeoutMs: 10_000 });
});

test('operators for different namespaces work beside each other, though they live in one', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using shop = await kubernetesWorld(kubeconfig, broker);
  await using crm = await kubernetesWorld(kubeconfig, broker);
  const home = { OPERATOR_NAMESPACE: shop.namespace };
  const both = [shop.spawnOperator(home), crm.spawnOperator(home)];
  for (const operator of both) await eventually(() => leads(operator));
});
