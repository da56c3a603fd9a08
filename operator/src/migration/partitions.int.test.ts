import { setTimeout as paused } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, testBroker } from '@warren/environment/testing';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import { following, hashes, hashingBroker, keyedPublisher, ledger } from '../testing/keyed.ts';
import { spawnOperator } from '../testing/operator-process.ts';
import { virtualHost } from '../testing/virtual-host.ts';

const QUEUE = 'shop.loyalty';
const events = ['OrderPlaced'];
const perKey = (partitions: number) => ({ events, delivery: { ordering: 'PerKey', partitions } });
const patience = { timeoutMs: 240_000, intervalMs: 50 };
const partition = (index: number) => `${QUEUE}.partition.0${index}`;

async function shop(spec: Record<string, unknown>) {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await hashingBroker({ testBroker, dedicatedBroker }));
  const world = stack.use(await folderWorld(broker));
  const host = stack.use(virtualHost(broker));
  await world.subscribe('loyalty', spec);
  return { broker, world, host, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('partitions share the keys, are counted one by one and together, drift, and go with their subscription', async () => {
  await using t = await shop(perKey(3));
  await using operator = await startFolderOperator(t.world);
  await eventually(() => isReady(operator, 'loyalty'));
  const publish = keyedPublisher(t.host);
  for (let round = 0; round < 5; round += 1) await publish.round();
  const status = () => operator.resource('loyalty')?.status;
  await eventually(() => status()?.messages?.ready === 100, patience);
  const ready = status()?.partitions?.map((each) => each.ready) ?? [];
  expect(ready).toHaveLength(3);
  expect(ready.reduce((sum, each) => sum + each, 0)).toBe(100);
  expect(ready.every((each) => each > 0)).toBe(true);
  expect((await t.host.api.inventory()).queues.map(({ name }) => name).sort()).toEqual([
    `${QUEUE}.dead`,
    partition(0),
    partition(1),
    partition(2),
  ]);

  await t.host.api.unbind({
    source: `${QUEUE}.keys`,
    destination: partition(1),
    destinationType: 'queue',
    routingKey: '1',
    arguments: {},
  });
  await eventually(() => operator.told.some(({ reason }) => reason === 'Drifted'), patience);
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True', patience);
  const book = ledger();
  await using consuming = await following(t.host, t.world.state, 'loyalty', book.handle);
  expect(consuming).toBeDefined();
  await eventually(() => book.handled.size === 100, patience);

  await t.world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined, patience);
  const { queues, exchanges, policies } = await t.host.api.inventory();
  expect({ queues, policies }).toEqual({ queues: [], policies: [] });
  expect(exchanges.filter(({ name }) => name.startsWith('shop'))).toEqual([]);
}, 300_000);

test('partitions grow, shrink and give way while operators are killed at every step: none is lost, each key stays in order', async () => {
  await using t = await shop(perKey(2));
  const spawn = () => spawnOperator(['--folder', t.world.folder, '--state', t.world.state]);
  {
    await using first = await startFolderOperator(t.world);
    await eventually(() => isReady(first, 'loyalty'));
  }
  const publish = keyedPublisher(t.host);
  for (let round = 0; round < 50; round += 1) await publish.round();
  const book = ledger();
  await using consuming = await following(t.host, t.world.state, 'loyalty', book.handle);
  expect(consuming).toBeDefined();
  const stop = new AbortController();
  const publishing = (async () => {
    while (!stop.signal.aborted) {
      await publish.round();
      await paused(80);
    }
  })();
  const there = async () => {
    const { queues, exchanges } = await t.host.api.inventory();
    return new Set([...queues, ...exchanges].map(({ name }) => name));
  };
  const isTemporary = (name: string) => /points|aside|arriving|waited|returning/.test(name);
  // A step may be over before anybody has looked.
  const reachedOr = (isReached: () => Promise<boolean>, isOver: () => Promise<boolean>) =>
    eventually(
      async () => (await isReached()) || ((await isOver()) && ![...(await there())].some(isTemporary)),
      patience,
    );
  const changed = async (reached: readonly (() => Promise<boolean>)[], isOver: () => Promise<boolean>) => {
    for (const isReached of reached) {
      await using operator = spawn();
      await reachedOr(isReached, isOver);
      expect(await operator.kill('SIGKILL')).toBe('SIGKILL');
    }
    await using last = await startFolderOperator(t.world);
    await eventually(
      () => isReady(last, 'loyalty') && last.condition('loyalty', 'TopologyInSync')?.status === 'True',
      patience,
    );
    const names = [...(await there())];
    expect(names.filter(isTemporary)).toEqual([]);
  };
  const has = (name: string) => async () => (await there()).has(name);
  const lacks = (name: string) => async () => !(await there()).has(name);

  await t.world.subscribe('loyalty', perKey(3));
  await changed(
    [has(`${QUEUE}.points`), has(`${QUEUE}.waited`), has(`${QUEUE}.returning`), has(partition(2))],
    has(partition(2)),
  );
  await t.world.subscribe('loyalty', { events, delivery: { ordering: 'Strict' } });
  await changed([has(`${QUEUE}.waited`), lacks(partition(0)), has(QUEUE)], has(QUEUE));
  // Edited back in the middle, before and after the old queue is gone.
  await t.world.subscribe('loyalty', perKey(2));
  {
    await using operator = spawn();
    await reachedOr(has(`${QUEUE}.waited`), has(partition(0)));
    await operator.kill('SIGKILL');
  }
  await t.world.subscribe('loyalty', { events, delivery: { ordering: 'Strict' } });
  await changed([], has(QUEUE));
  stop.abort();
  await publishing;
  await eventually(() => book.handled.size === publish.published, patience);
  // To three, to Strict, and to two and back.
  expect(book.wrong({ migrations: 4 })).toEqual([]);
}, 600_000);

test('a broker without the plugin is told of, with what to do, and nothing is made', async () => {
  await using broker = await testBroker();
  // Where it has it, there is nothing to tell.
  if (await hashes(broker)) return;
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', perKey(2));
  await using operator = await startFolderOperator(world);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'PluginMissing');
  expect(operator.condition('loyalty', 'Ready')?.message).toContain(
    'rabbitmq-plugins enable rabbitmq_consistent_hash_exchange',
  );
  expect((await host.api.inventory()).queues).toEqual([]);
}, 60_000);
