// Retries that wait in queues of their own, and give back to the queue that is being made anew; and those that the broker delays
// in that very queue. Each test waits for counts, on a virtual host of its own, beside the others.
import { setTimeout as paused } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, testBroker } from '@warren/environment/testing';
import type { QueueFound } from '@warren/rabbitmq';
import { connect } from 'amqplib';
import { hashingBroker } from '../testing/keyed.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { readSettingsOf } from '../testing/virtual-host.ts';

const QUEUE = 'shop.loyalty';
const events = ['OrderPlaced'];
const older = { capabilitiesOf: () => ({ delayedRetry: false, deliveryLimitByDefault: true }) };
const patience = { timeoutMs: 120_000 };
const retry = (attempts: number, delay: string) => ({ attempts, backoff: { initial: delay, max: delay } });

/** As if what it holds had been due. */
async function purged(amqpUrl: string): Promise<void> {
  const connection = await connect(amqpUrl);
  await (await connection.createChannel()).purgeQueue(QUEUE);
  await connection.close();
}

test.concurrent(
  'retries that no count knows of are not deleted with their queue, however slowly they are tried',
  async () => {
    const delivery = { retry: retry(30, '2s') };
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, delivery } }, older);
    const { operator, world, host } = shop;
    const ids = ['a', 'b', 'c'];
    const handled = new Set<string>();
    let [tried, inHand, isWell] = [0, 0, false];
    host.consume(await readSettingsOf(world.state, 'loyalty'), async ({ content }) => {
      tried += 1;
      inHand += 1;
      await paused(4_000);
      inHand -= 1;
      if (!isWell) throw new Error('not yet');
      handled.add(content.toString());
    });
    await host.publish('order.placed', ids);
    await eventually(() => tried === ids.length);
    // Each of them is elsewhere whenever it is counted; and if the queue is deleted, it is while one is in hand.
    const uncounted = (queue: QueueFound) => (queue.messages = isWell ? queue.messages : 0);
    operator.calls.after = (call, result) => {
      if (call === 'inventory') (result as { queues: QueueFound[] }).queues.forEach(uncounted);
      if (call === 'queue' && result !== undefined) uncounted(result as QueueFound);
      return result;
    };
    const inHandWhenDeleted: number[] = [];
    operator.calls.before = async (call) => {
      if (call !== 'deleteQueue' || isWell) return;
      await eventually(() => inHand > 0 || isWell).catch(() => undefined);
      inHandWhenDeleted.push(inHand);
    };
    await world.subscribe('loyalty', { events, delivery: { ...delivery, ordering: 'Strict' } });
    await eventually(() => tried >= 5 * ids.length || inHandWhenDeleted.length > 0, patience);
    expect(inHandWhenDeleted.filter((count) => count > 0)).toEqual([]);
    isWell = true;
    await eventually(() => operator.told.some(({ reason }) => reason === 'Migrated'), patience);
    await eventually(() => handled.size === ids.length, patience);
  },
  240_000,
);

test.concurrent(
  'a retry that waits for an hour does not hold up what is new: it is taken along, and tried before its time',
  async () => {
    const delivery = { retry: retry(2, '1h') };
    const classic = { events, queue: { type: 'classic' }, delivery };
    await using shop = await shopWorld(await testBroker(), { loyalty: classic }, older);
    const { operator, world, host } = shop;
    const tried: string[] = [];
    host.consume(await readSettingsOf(world.state, 'loyalty'), ({ content, attempt, routingKey }) => {
      tried.push(`${content.toString()} ${attempt} ${routingKey}`);
      return attempt === 1 && content.toString() === 'late'
        ? Promise.reject(new Error('not yet'))
        : Promise.resolve();
    });
    await host.publish('order.placed', ['late']);
    await eventually(() => tried.length === 1);
    await world.subscribe('loyalty', { events, delivery });
    await eventually(() => operator.resource('loyalty')?.status?.migration?.phase === 'Draining');
    await host.publish('order.placed', ['new']);
    await eventually(() => operator.told.some(({ reason }) => reason === 'Migrated'), patience);
    await eventually(() => tried.length === 3, patience);
    expect(tried).toEqual(['late 1 order.placed', 'late 2 order.placed', 'new 1 order.placed']);
    expect((await host.api.queue(QUEUE))?.type).toBe('quorum');
  },
  180_000,
);

test.concurrent.each(['Strict', 'PerKey'])(
  'a retry that the broker delays for an hour does not hold up what is new, while ordering %s waits for it',
  async (ordering) => {
    const delivery = { retry: retry(2, '1h') };
    const broker = await hashingBroker({ testBroker, dedicatedBroker });
    await using shop = await shopWorld(broker, { loyalty: { events, delivery } });
    const { operator, world, host } = shop;
    const tried: string[] = [];
    const consumer = host.consume(await readSettingsOf(world.state, 'loyalty'), ({ content }) => {
      tried.push(content.toString());
      return content.toString() === 'late' ? Promise.reject(new Error('not yet')) : Promise.resolve();
    });
    const delayed = async () => (await host.api.queueActivity([QUEUE])).get(QUEUE)?.delayedUntil;
    await host.publish('order.placed', ['late']);
    await eventually(async () => (await delayed()) !== undefined, patience);
    const due = (await delayed()) ?? 0;

    await world.subscribe('loyalty', { events, delivery: { ...delivery, ordering } });
    const status = () => operator.resource('loyalty')?.status;
    await eventually(() => status()?.migration?.phase === 'Waiting', patience);
    expect(operator.condition('loyalty', 'Ready')).toMatchObject({
      status: 'True',
      reason: 'Migrating',
      message: expect.stringContaining(`until ${new Date(due).toISOString()} the broker delays retries`),
    });
    await operator[Symbol.asyncDispose]();
    const next = await shop.operate();
    await eventually(async () => (await host.keysOf(QUEUE)).length === 0, patience);
    await host.publish('order.placed', ['new', 'newer']);
    await eventually(() => tried.length === 3, patience);
    expect(tried).toEqual(['late', 'new', 'newer']);
    expect(next.resource('loyalty')?.status?.migration?.phase).toBe('Waiting');
    await consumer.stop();
    await purged(broker.amqpUrl);
    await eventually(() => next.told.some(({ reason }) => reason === 'Migrated'), patience);
  },
  240_000,
);

test.concurrent(
  'a deletion lets nothing new in, however long the broker delays a retry',
  async () => {
    const spec = { events, deletionPolicy: 'DeleteWhenEmpty', delivery: { retry: retry(2, '1h') } } as const;
    await using shop = await shopWorld(await testBroker(), { loyalty: spec });
    const { operator, world, host } = shop;
    host.consume(await readSettingsOf(world.state, 'loyalty'), () => Promise.reject(new Error('not yet')));
    await host.publish('order.placed', ['late']);
    const delayed = async () => (await host.api.queueActivity([QUEUE])).get(QUEUE)?.delayedUntil;
    await eventually(async () => (await delayed()) !== undefined, patience);
    await world.subscribe('loyalty', { ...spec, delivery: { ...spec.delivery, ordering: 'Strict' } });
    const phase = () => operator.resource('loyalty')?.status?.migration?.phase;
    await eventually(() => phase() === 'Waiting', patience);
    await world.unsubscribe('loyalty');
    await eventually(() => phase() === 'Draining', patience);
  },
  240_000,
);
