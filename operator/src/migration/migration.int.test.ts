import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { TestBroker } from '@warren/environment/testing';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld } from '../testing/folder-operator.ts';
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

/** Publishes e-0, e-1, … until it is stopped, each again until it is confirmed. */
function livePublishing(host: VirtualHost, from: number) {
  const stop = new AbortController();
  let next = from;
  const running = (async () => {
    while (!stop.signal.aborted) {
      const ids = Array.from({ length: 5 }, (_, index) => `e-${next + index}`);
      await host.publish('order.placed', ids);
      next += ids.length;
    }
  })();
  return {
    end: async () => {
      stop.abort();
      await running;
      return next;
    },
  };
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
