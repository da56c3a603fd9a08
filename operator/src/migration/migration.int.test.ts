import { setTimeout as paused } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { TestBroker } from '@warren/environment/testing';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld } from '../testing/folder-operator.ts';
import { livePublishing } from '../testing/live-publishing.ts';
import { spawnOperator } from '../testing/operator-process.ts';
import { recordCallsUntilDeath } from '../testing/recording-client.ts';
import { readSettingsOf, virtualHost } from '../testing/virtual-host.ts';
import type { VirtualHost } from '../testing/virtual-host.ts';

const QUEUE = 'shop.loyalty';
const events = ['OrderPlaced', 'payment.*'];
const strict = { events, delivery: { ordering: 'Strict' } };
const patience = { timeoutMs: 240_000, intervalMs: 50 };

async function shop(spec: Record<string, unknown> = { events }) {
  const stack = new AsyncDisposableStack();
  const broker: TestBroker = stack.use(await testBroker());
  const world: FolderWorld = stack.use(await folderWorld(broker));
  const host: VirtualHost = stack.use(virtualHost(broker));
  await world.subscribe('loyalty', spec);
  return { broker, world, host, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** What was consumed, each id once, in the order of its first arrival. */
function inbox(host: VirtualHost, settings: ConsumerSettings) {
  const seen = new Set<string>();
  let handled = 0;
  const consumer = host.consume(settings, ({ content, routingKey, exchange }) => {
    expect({ routingKey, exchange }).toEqual({ routingKey: 'order.placed', exchange: 'events' });
    seen.add(content.toString());
    handled += 1;
    return Promise.resolve();
  });
  return {
    seen,
    consumer,
    get doubles() {
      return handled - seen.size;
    },
  };
}

const ids = (count: number) => Array.from({ length: count }, (_, index) => `e-${index}`);

async function publishMany(host: VirtualHost, count: number): Promise<void> {
  const all = ids(count);
  for (let at = 0; at < count; at += 500) await host.publish('order.placed', all.slice(at, at + 500));
}

async function expectMigrated(host: VirtualHost, args: Record<string, unknown>): Promise<void> {
  const { queues, exchanges, policies } = await host.api.inventory();
  expect(queues.map(({ name }) => name).sort()).toEqual([QUEUE, `${QUEUE}.dead`]);
  expect(queues.find(({ name }) => name === QUEUE)?.arguments).toMatchObject(args);
  expect(exchanges.filter(({ name }) => name.startsWith('shop'))).toEqual([]);
  expect(policies.filter(({ pattern }) => /arriving|waited/.test(pattern))).toEqual([]);
  expect(await host.keysOf(QUEUE)).toEqual(['order.placed', 'payment.*']);
}

test('20,000 messages under live publishing and consuming: nothing is lost, nothing is doubled, and it is told', async () => {
  await using t = await shop();
  await using operator = await startFolderOperator(t.world);
  await eventually(() => isReady(operator, 'loyalty'));
  const settings = await readSettingsOf(t.world.state, 'loyalty');
  await publishMany(t.host, 20_000);
  const publishing = livePublishing(t.host, 20_000);
  await t.world.subscribe('loyalty', strict);
  await eventually(() => operator.resource('loyalty')?.status?.migration !== undefined, patience);
  expect(operator.condition('loyalty', 'Ready')).toMatchObject({ status: 'True', reason: 'Migrating' });
  expect(operator.resource('loyalty')?.status?.migration).toMatchObject({
    queue: QUEUE,
    from: 'x-single-active-consumer none',
    to: 'x-single-active-consumer true',
  });
  const box = inbox(t.host, { ...settings, strict: true });
  await eventually(() => operator.told.some(({ reason }) => reason === 'Migrated'), patience);
  const published = await publishing.end();
  await eventually(() => box.seen.size === published, patience);
  expect(box.doubles).toBe(0);
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True');
  await box.consumer.stop();
  expect([...box.seen].sort()).toEqual(ids(published).sort());
  await expectMigrated(t.host, { 'x-single-active-consumer': true });
  expect(operator.resource('loyalty')?.status?.migration).toBeUndefined();
  const told = operator.told.filter(({ reason }) => reason.startsWith('Migrat'));
  expect(told.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
    'Normal MigrationStarted',
    'Normal Migrated',
  ]);
  expect(operator.told.filter(({ type }) => type === 'Warning')).toEqual([]);
}, 400_000);

test('the order is kept for one consumer of a Strict queue, whatever is published meanwhile', async () => {
  await using t = await shop();
  await using operator = await startFolderOperator(t.world);
  await eventually(() => isReady(operator, 'loyalty'));
  await publishMany(t.host, 3_000);
  await t.world.subscribe('loyalty', strict);
  // One at a time, in bursts: events of one key are apart.
  let next = 3_000;
  const stop = new AbortController();
  const publishing = (async () => {
    while (!stop.signal.aborted) {
      await t.host.publish('order.placed', [`e-${next}`]);
      next += 1;
      await paused(20);
    }
  })();
  await eventually(
    () => ['Returning', 'Finishing'].includes(operator.resource('loyalty')?.status?.migration?.phase ?? ''),
    patience,
  );
  const settings = await readSettingsOf(t.world.state, 'loyalty');
  expect(settings.strict).toBe(true);
  const box = inbox(t.host, settings);
  await eventually(() => operator.told.some(({ reason }) => reason === 'Migrated'), patience);
  stop.abort();
  await publishing;
  await eventually(() => box.seen.size === next, patience);
  expect([...box.seen]).toEqual(ids(next));
  expect(box.doubles).toBe(0);
}, 400_000);

test('edited back in the middle, the queue is as it was before, with everything in it', async () => {
  await using t = await shop();
  await using operator = await startFolderOperator(t.world);
  await eventually(() => isReady(operator, 'loyalty'));
  await publishMany(t.host, 3_000);
  const publishing = livePublishing(t.host, 3_000);
  for (const phase of ['Draining', 'Returning']) {
    await t.world.subscribe('loyalty', strict);
    await eventually(() => operator.resource('loyalty')?.status?.migration?.phase === phase, patience);
    await t.world.subscribe('loyalty', { events });
    await eventually(
      () =>
        isReady(operator, 'loyalty') && operator.condition('loyalty', 'TopologyInSync')?.status === 'True',
      patience,
    );
  }
  const published = await publishing.end();
  await expectMigrated(t.host, { 'x-queue-type': 'quorum' });
  expect((await t.host.api.queue(QUEUE))?.arguments).not.toHaveProperty('x-single-active-consumer');
  const box = inbox(t.host, await readSettingsOf(t.world.state, 'loyalty'));
  await eventually(() => box.seen.size === published, patience);
  expect(box.doubles).toBe(0);
}, 600_000);

test('operators that die after each single write are followed by one that finishes, and nothing is lost', async () => {
  await using t = await shop();
  {
    await using first = await startFolderOperator(t.world);
    await eventually(() => isReady(first, 'loyalty'));
  }
  await t.world.subscribe('loyalty', strict);
  let published = 0;
  const publish = async (count: number) => {
    const more = Array.from({ length: count }, (_, index) => `e-${published + index}`);
    await t.host.publish('order.placed', more);
    published += count;
  };
  for (let deaths = 0; ; deaths += 1) {
    await publish(20);
    const calls = recordCallsUntilDeath(1);
    await using dying = await startFolderOperator(t.world, { calls });
    await eventually(
      () =>
        calls.died ||
        (isReady(dying, 'loyalty') && dying.condition('loyalty', 'TopologyInSync')?.status === 'True'),
      patience,
    );
    await dying.stop();
    if (calls.died) continue;
    expect(deaths).toBeGreaterThan(20);
    break;
  }
  await expectMigrated(t.host, { 'x-single-active-consumer': true });
  const box = inbox(t.host, await readSettingsOf(t.world.state, 'loyalty'));
  await eventually(() => box.seen.size === published, patience);
  expect(box.doubles).toBe(0);
}, 600_000);

test('a process that is killed in each phase is followed by one that goes on from there', async () => {
  await using t = await shop();
  const spawn = () => spawnOperator(['--folder', t.world.folder, '--state', t.world.state]);
  {
    await using first = await startFolderOperator(t.world);
    await eventually(() => isReady(first, 'loyalty'));
  }
  await publishMany(t.host, 20_000);
  await t.world.subscribe('loyalty', strict);
  const publishing = livePublishing(t.host, 20_000);
  const there = async () =>
    new Map((await t.host.api.inventory()).queues.map((queue) => [queue.name, queue]));
  const reached: Record<string, () => Promise<boolean>> = {
    'the points are made': async () => (await there()).has(`${QUEUE}.arriving`),
    'messages are on their way out': async () => ((await there()).get(`${QUEUE}.waited`)?.messages ?? 0) > 0,
    'the queue was made anew': async () =>
      (await there()).get(QUEUE)?.arguments['x-single-active-consumer'] === true,
    'messages are on their way back': async () => ((await there()).get(QUEUE)?.messages ?? 0) > 0,
    'it takes its events itself again': async () => (await t.host.keysOf(QUEUE)).length === 2,
  };
  for (const isReached of Object.values(reached)) {
    await using operator = spawn();
    await eventually(isReached, patience);
    expect(await operator.kill('SIGKILL')).toBe('SIGKILL');
  }
  await using last = await startFolderOperator(t.world);
  await eventually(() => last.condition('loyalty', 'TopologyInSync')?.status === 'True', patience);
  const published = await publishing.end();
  await expectMigrated(t.host, { 'x-single-active-consumer': true });
  const box = inbox(t.host, await readSettingsOf(t.world.state, 'loyalty'));
  await eventually(() => box.seen.size === published, patience);
}, 900_000);

test('a deletion in the middle has the messages where they belong before; with Delete everything goes', async () => {
  for (const deletionPolicy of ['Retain', 'Delete']) {
    await using t = await shop({ events, deletionPolicy });
    await using operator = await startFolderOperator(t.world);
    await eventually(() => isReady(operator, 'loyalty'));
    await publishMany(t.host, 200);
    await t.world.subscribe('loyalty', { ...strict, deletionPolicy });
    await eventually(() => operator.resource('loyalty')?.status?.migration !== undefined, patience);
    await t.world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined, patience);
    if (deletionPolicy === 'Delete') {
      const { queues, exchanges, policies } = await t.host.api.inventory();
      expect({ queues, policies }).toEqual({ queues: [], policies: [] });
      expect(exchanges.filter(({ name }) => name.startsWith('shop'))).toEqual([]);
    } else {
      await expectMigrated(t.host, { 'x-single-active-consumer': true });
      await eventually(async () => (await t.host.api.queue(QUEUE))?.messages === 200);
    }
  }
}, 400_000);

test('a queue that somebody declared in another way is taken over with its messages and foreign bindings', async () => {
  await using t = await shop();
  const declared = { durable: true, autoDelete: false };
  await t.host.api.declareExchange({ name: 'legacy', type: 'topic', ...declared, arguments: {} });
  await t.host.api.declareQueue({ name: QUEUE, ...declared, arguments: { 'x-queue-type': 'classic' } });
  const legacy = {
    source: 'legacy',
    destination: QUEUE,
    destinationType: 'queue',
    routingKey: 'order.imported',
    arguments: {},
  } as const;
  await t.host.api.bind(legacy);
  await t.host.publisher.publish({
    exchange: 'legacy',
    routingKey: 'order.imported',
    content: Buffer.from('old'),
  });
  await t.world.subscribe('loyalty', { events }, { annotations: { 'warren.events/adopt': 'true' } });
  await using operator = await startFolderOperator(t.world);
  await eventually(
    () => isReady(operator, 'loyalty') && operator.told.some(({ reason }) => reason === 'Migrated'),
    patience,
  );
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True', patience);
  await expectMigrated(t.host, { 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' });
  expect((await t.host.api.bindingsOf(QUEUE)).some(({ source }) => source === 'legacy')).toBe(true);
  const taken: string[] = [];
  t.host.consume(await readSettingsOf(t.world.state, 'loyalty'), ({ content, exchange, routingKey }) => {
    taken.push(`${content.toString()} ${exchange} ${routingKey}`);
    return Promise.resolve();
  });
  await eventually(() => taken.length === 1);
  expect(taken).toEqual(['old legacy order.imported']);
}, 400_000);

test('declared anew by hand with other arguments: with driftPolicy Report it is told and left, with Repair migrated', async () => {
  await using t = await shop({ events, driftPolicy: 'Report' });
  await using operator = await startFolderOperator(t.world);
  await eventually(() => isReady(operator, 'loyalty'));
  await t.host.api.deleteQueue(QUEUE);
  const byHand = { name: QUEUE, durable: true, autoDelete: false, arguments: { 'x-queue-type': 'quorum' } };
  await t.host.api.declareQueue(byHand);
  const says = () => operator.condition('loyalty', 'TopologyInSync') ?? { reason: '', message: '' };
  await eventually(
    () => says().reason === 'Drifted' && says().message.includes('x-dead-letter-exchange none'),
  );
  expect((await t.host.api.queue(QUEUE))?.arguments).toEqual({ 'x-queue-type': 'quorum' });

  await t.world.subscribe('loyalty', { events });
  await eventually(() => operator.told.some(({ reason }) => reason === 'Migrated'), patience);
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True', patience);
  await expectMigrated(t.host, { 'x-dead-letter-exchange': 'failed_events' });
}, 400_000);
