// Most of the time is waiting for counts of queues: each test waits on a virtual host of its own, beside the others.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { QueueFound } from '@warren/rabbitmq';
import { isReady } from '../testing/folder-operator.ts';
import { recordCalls, recordCallsUntilDeath } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { readSettingsOf } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];

test.concurrent(
  'Retain leaves the queue bound, with its policy and its messages, for a later subscription of its name',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Retain' } });
    const { operator, world, host } = shop;
    await host.publish('order.placed', ['before']);

    await world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined);
    await host.publish('order.placed', ['after']);
    await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 2);
    expect(await host.policyOf('shop.loyalty')).toMatchObject({ 'delivery-limit': 25 });

    await world.subscribe('loyalty', { events: ['OrderPlaced', 'PaymentApproved'] });
    await eventually(() => isReady(operator, 'loyalty'));
    expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
    expect((await host.api.queue('shop.loyalty'))?.messages).toBe(2);
  },
);

test.concurrent('Delete deletes everything at once, messages too, and leaves no policy behind', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
  const { operator, world, host } = shop;
  await host.publish('order.placed', ['gone']);

  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  const { queues, bindings, policies } = await host.api.inventory();
  expect({ queues, bindings, policies }).toEqual({ queues: [], bindings: [], policies: [] });
  await expect(readSettingsOf(world.state, 'loyalty')).rejects.toThrow('ENOENT');
});

test.concurrent(
  'DeleteWhenEmpty keeps what holds messages, says so, takes no new ones, and deletes it once it is drained',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
    const { operator, world, host } = shop;
    const settings = await readSettingsOf(world.state, 'loyalty');
    await host.publish('order.placed', ['a', 'b']);

    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
    expect(operator.condition('loyalty', 'Ready')?.message).toContain(
      'there are still messages in shop.loyalty:',
    );
    expect(await host.keysOf('shop.loyalty')).toEqual([]);
    expect(operator.told.filter(({ reason }) => reason === 'MessagesLeft')).toHaveLength(1);

    const seen: string[] = [];
    host.consume(settings, ({ content }) => {
      seen.push(content.toString());
      return Promise.resolve();
    });
    await eventually(() => operator.resource('loyalty') === undefined);
    expect(seen.sort()).toEqual(['a', 'b']);
    const { queues, policies } = await host.api.inventory();
    expect({ queues, policies }).toEqual({ queues: [], policies: [] });
    expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });
  },
);

test.concurrent(
  'a message that arrives in the last moment before the unbinding is not deleted with the queue',
  async () => {
    const calls = recordCalls();
    await using shop = await shopWorld(await testBroker(), { loyalty: { events } }, { calls });
    const { operator, world, host } = shop;
    // The broker's counts do not know of it for some seconds.
    calls.before = (call) => (call === 'unbind' ? host.publish('order.placed', ['late']) : undefined);
    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
    // Counted once more while it could still be deleted in between.
    expect(operator.calls.made).not.toContain('deleteQueue');
    expect((await host.api.queue('shop.loyalty'))?.messages).toBe(1);
  },
);

test.concurrent('a dead letter that no count knows of yet is not deleted with its queue', async () => {
  const calls = recordCalls();
  await using shop = await shopWorld(
    await testBroker(),
    { loyalty: { events } },
    { calls, resyncMs: 30_000 },
  );
  const { operator, world, host } = shop;
  // A consumer sets the last message of the queue aside just before the reading that finds everything empty.
  const dead = { exchange: 'failed_events', routingKey: 'shop.loyalty', content: Buffer.from('dead') };
  let readings = 0;
  calls.before = async (call) => {
    if (call !== 'inventory') return;
    readings += 1;
    if (readings === 2) await host.publisher.publish(dead);
  };
  await world.unsubscribe('loyalty');
  await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
  expect(operator.condition('loyalty', 'Ready')?.message).toContain(
    'there are still dead letters in shop.loyalty.dead:',
  );
  expect(operator.calls.made).not.toContain('deleteQueue');
});

const older = { delayedRetry: false, deliveryLimitByDefault: true };
const waitsOf = (ms: number, attempts: number) => ({
  retry: { attempts, backoff: { initial: `${ms}ms`, max: `${ms}ms` } },
});

test.concurrent(
  'while a retry waits nothing is deleted; it comes again, and when it is done with everything goes',
  async () => {
    await using shop = await shopWorld(
      await testBroker(),
      { loyalty: { events, delivery: waitsOf(12_000, 2) } },
      { capabilitiesOf: () => older },
    );
    const { operator, world, host } = shop;
    const attempts: number[] = [];
    host.consume(await readSettingsOf(world.state, 'loyalty'), ({ attempt }) => {
      attempts.push(attempt);
      return attempt === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve();
    });
    await host.publish('order.placed', ['late']);
    await eventually(() => attempts.length === 1);
    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
    expect(operator.condition('loyalty', 'Ready')?.message).toContain(
      'there are still retries that wait in shop.loyalty.wait.12000: all its queues are deleted when none is left',
    );
    expect(operator.calls.made).not.toContain('deleteQueue');
    await eventually(() => operator.resource('loyalty') === undefined, { timeoutMs: 60_000 });
    expect(attempts).toEqual([1, 2]);
    expect(operator.told.filter(({ reason }) => reason === 'MessagesLeft')).toHaveLength(1);
    expect((await host.api.inventory()).queues).toEqual([]);
  },
  90_000,
);

test.concurrent(
  'a message that goes to and fro between its queue and a wait queue is deleted with neither',
  async () => {
    await using shop = await shopWorld(
      await testBroker(),
      { loyalty: { events, delivery: waitsOf(1_000, 30) } },
      { capabilitiesOf: () => older },
    );
    const { operator, world, host } = shop;
    let attempts = 0;
    host.consume(await readSettingsOf(world.state, 'loyalty'), () => {
      attempts += 1;
      return Promise.reject(new Error('not yet'));
    });
    await host.publish('order.placed', ['restless']);
    await eventually(() => attempts === 1);
    // It is in no count, whenever it is looked at.
    operator.calls.after = (call, result) => {
      if (call === 'inventory')
        for (const queue of (result as { queues: QueueFound[] }).queues) queue.messages = 0;
      return result;
    };
    await world.unsubscribe('loyalty');
    await eventually(async () => (await host.keysOf('shop.loyalty')).length === 0);
    await eventually(() => attempts >= 22, { timeoutMs: 60_000 });
    expect(operator.calls.made).not.toContain('deleteQueue');
  },
  90_000,
);

test.concurrent(
  'a message between its queue and a wait queue that is in the second of three counts only is deleted with neither',
  async () => {
    const calls = recordCalls();
    await using shop = await shopWorld(
      await testBroker(),
      { loyalty: { events, delivery: waitsOf(1_000, 30) } },
      { capabilitiesOf: () => older, calls, resyncMs: 60_000 },
    );
    const { operator, world } = shop;
    let unboundAt = Infinity;
    calls.after = (call, result) => {
      if (call === 'unbind') unboundAt = performance.now();
      const elapsed = performance.now() - unboundAt;
      if (call === 'inventory' && elapsed > 9_000 && elapsed < 15_000)
        for (const queue of (result as { queues: QueueFound[] }).queues) queue.messages = 1;
      return result;
    };
    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'), {
      timeoutMs: 60_000,
    });
    expect(operator.calls.made).not.toContain('deleteQueue');
  },
  90_000,
);

test.concurrent.each(['Delete', 'DeleteWhenEmpty'])(
  "%s leaves somebody else's queues under its names, with what they hold and how they are bound",
  async (deletionPolicy) => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy } });
    const { operator, world, host } = shop;
    const theirs = ['offset', 'partition.03', 'retry', 'wait.5000'].map((name) => `shop.loyalty.${name}`);
    for (const queue of theirs) {
      await host.declareByHand(queue);
      await host.api.bind({
        source: 'amq.topic',
        destination: queue,
        destinationType: 'queue',
        routingKey: queue,
        arguments: {},
      });
      await host.publisher.publish({ exchange: '', routingKey: queue, content: Buffer.from('theirs') });
    }
    await world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined);
    const { queues, bindings } = await host.api.inventory();
    expect(queues.map(({ name }) => name).sort()).toEqual(theirs);
    expect(bindings.filter(({ source }) => source === 'amq.topic')).toHaveLength(theirs.length);
    for (const queue of theirs) await eventually(async () => (await host.api.queue(queue))?.messages === 1);
  },
);

test.concurrent('a file that comes back cancels the deletion', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, world, host } = shop;
  await host.publish('order.placed', ['kept']);
  await world.unsubscribe('loyalty');
  await eventually(async () => (await host.keysOf('shop.loyalty')).length === 0);

  await world.subscribe('loyalty', { events });
  await eventually(async () => (await host.keysOf('shop.loyalty')).length === 1);
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 1);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toEqual([]);
});

test.concurrent(
  'an operator that dies after any of its writes is followed by one that finishes the deletion',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
    const { world, host } = shop;
    await shop.operator.stop();
    for (let survived = 0; ; survived += 1) {
      const first = await shop.operate();
      await eventually(() => isReady(first, 'loyalty'));
      await first.stop();
      const calls = recordCallsUntilDeath(survived);
      const dying = await shop.operate({ calls });
      await eventually(() => isReady(dying, 'loyalty'));
      await world.unsubscribe('loyalty');
      await eventually(() => calls.died || dying.resource('loyalty') === undefined);
      await dying.stop();
      const next = await shop.operate();
      await eventually(() => next.resource('loyalty') === undefined);
      const { queues, policies } = await host.api.inventory();
      expect({ queues, policies }).toEqual({ queues: [], policies: [] });
      if (!calls.died) {
        expect(survived).toBeGreaterThan(3);
        return;
      }
      await next.stop();
      await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
    }
  },
);

test.concurrent(
  'an EventBroker that is deleted together with its subscriptions is used until their queues are gone',
  async () => {
    await using shop = await shopWorld(await testBroker(), {
      loyalty: { events },
      payment: { events, deletionPolicy: 'Delete' },
    });
    const { operator, world, host } = shop;

    await world.unsubscribe('00-broker');
    await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerNotFound');
    await world.unsubscribe('loyalty');
    await world.unsubscribe('payment');
    await eventually(() => operator.source.subscriptions.list().length === 0);
    expect((await host.api.inventory()).queues).toEqual([]);

    await world.broker();
    await world.subscribe('loyalty', { events });
    await eventually(() => isReady(operator, 'loyalty'));
  },
);

test.concurrent(
  'a Secret that is deleted together with everything else holds nothing up: its queues go too',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
    const { operator, world, host } = shop;
    await rm(join(world.state, 'secrets', 'warren-system', 'rabbitmq'), { recursive: true });
    await eventually(() => operator.brokerCondition('Ready')?.reason === 'SecretInvalid');
    await world.unsubscribe('00-broker');
    await world.unsubscribe('loyalty');
    await eventually(() => operator.source.subscriptions.list().length === 0);
    expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });
    expect((await host.api.inventory()).queues).toEqual([]);
  },
);

test.concurrent(
  'under live publishing no event that was routed to a queue is deleted with it',
  async () => {
    await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
    const { operator, world, host } = shop;
    const settings = await readSettingsOf(world.state, 'loyalty');
    const routed: string[] = [];
    const stop = new AbortController();
    const publishing = (async () => {
      for (let next = 0; !stop.signal.aborted; next += 1) {
        const id = `e-${next}`;
        // Refused once nobody takes it any more: then it is nobody's loss.
        await host.publish('order.placed', [id]).then(
          () => routed.push(id),
          () => undefined,
        );
      }
    })();
    await eventually(() => routed.length > 20);
    await world.unsubscribe('loyalty');
    await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
    const seen = new Set<string>();
    host.consume(settings, ({ content }) => {
      seen.add(content.toString());
      return Promise.resolve();
    });
    await eventually(() => operator.resource('loyalty') === undefined, { timeoutMs: 60_000 });
    stop.abort();
    await publishing;
    expect(routed.filter((id) => !seen.has(id))).toEqual([]);
  },
  90_000,
);
