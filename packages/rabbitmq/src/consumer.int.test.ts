import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createConsumer } from './consumer.ts';
import { PermanentError } from './errors.ts';
import type { Delivery } from './message.ts';
import { Workbench } from './testing/workbench.ts';

const ids = (count: number, prefix = 'm') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const idOf = ({ content }: { content: Buffer }) => content.toString();

describe('a consumer', () => {
  test('handles every message once, as it was published, and leaves nothing on the broker', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 100 });
    await bench.publish(ids(1_000), { traceparent: '00-1-2-01' });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const seen: Delivery[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        await new Promise(setImmediate);
        seen.push(delivery);
      },
    });
    consumer.start();
    await eventually(() => seen.length === 1_000);
    expect(new Set(seen.map(idOf)).size).toBe(1_000);
    expect(seen[0]).toMatchObject({
      attempt: 1,
      redelivered: false,
      routingKey: 'order.placed',
      exchange: 'events',
      queue: 'shop.test',
      properties: { messageId: 'm0', headers: { traceparent: '00-1-2-01' } },
    });
    await consumer.stop();
    expect(await bench.ready('shop.test')).toBe(0);
    expect(seen).toHaveLength(1_000);
  });

  test.each(['broker', 'ladder'] as const)(
    'in %s mode retries with growing delay, then sets the message aside with its reason, while others pass',
    async (mode) => {
      await using broker = await testBroker();
      await using bench = await Workbench.open(broker.amqpUrl);
      const settings = await bench.subscription({
        mode,
        attempts: 4,
        prefetch: 5,
        retryMs: { min: 400, max: 1_000 },
      });
      await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
      const tries: { at: number; attempt: number; routingKey: string; traceparent: unknown }[] = [];
      const others: string[] = [];
      const outcomes: string[] = [];
      await using consumer = createConsumer(connection, {
        settings,
        handle: (delivery) => {
          if (idOf(delivery) !== 'poison') {
            others.push(idOf(delivery));
            return Promise.resolve();
          }
          const { attempt, routingKey, properties } = delivery;
          tries.push({
            at: Date.now(),
            attempt,
            routingKey,
            traceparent: properties.headers?.['traceparent'],
          });
          return Promise.reject(Object.assign(new Error('this card is declined'), { code: 'CARD_DECLINED' }));
        },
        observer: {
          onSettled: ({ delivery, outcome }) => {
            if (idOf(delivery) === 'poison') outcomes.push(outcome);
          },
        },
      });
      consumer.start();
      await bench.publish(['poison'], { traceparent: '00-1-2-01' });
      await eventually(() => tries.length === 1);
      await bench.publish(ids(50));
      await eventually(() => others.length === 50);
      expect(tries.length).toBeLessThan(4); // the others did not wait for the poison

      await eventually(async () => (await bench.ready('shop.test.dead')) === 1);
      await eventually(() => outcomes.length === 4);
      expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
      expect(new Set(tries.map(({ routingKey }) => routingKey))).toEqual(new Set(['order.placed']));
      expect(new Set(tries.map(({ traceparent }) => traceparent))).toEqual(new Set(['00-1-2-01']));
      const delays = tries.slice(1).map(({ at }, index) => at - tries[index]!.at);
      [400, 800, 1_000].forEach((wanted, index) => {
        expect(delays[index]).toBeGreaterThan(wanted - 60);
      });
      expect(outcomes).toEqual(['retried', 'retried', 'retried', 'dead-lettered']);

      const [dead] = await bench.take('shop.test.dead');
      expect(dead!.content.toString()).toBe('poison');
      expect(dead!.properties).toMatchObject({ messageId: 'poison', deliveryMode: 2 });
      expect(dead!.properties.headers).toMatchObject({
        traceparent: '00-1-2-01',
        'warren-failure-reason': 'this card is declined',
        'warren-failure-code': 'CARD_DECLINED',
        'warren-failure-attempts': 4,
        'warren-failure-subscription': 'shop/test',
        'warren-original-routing-key': 'order.placed',
        'warren-original-exchange': 'events',
      });
      const failedAt = Date.parse(dead!.properties.headers!['warren-failed-at'] as string);
      expect(failedAt).toBeGreaterThanOrEqual(tries[3]!.at);
      await consumer.stop();
      expect(await bench.ready('shop.test')).toBe(0);
    },
  );

  test('a permanent failure becomes a dead letter at its first attempt, also one thrown synchronously', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    let tries = 0;
    await using consumer = createConsumer(connection, {
      settings,
      handle: () => {
        tries += 1;
        throw new PermanentError('not of its schema');
      },
    });
    await bench.publish(ids(20));
    consumer.start();
    await eventually(async () => (await bench.ready('shop.test.dead')) === 20);
    expect(tries).toBe(20);
    const [dead] = await bench.take('shop.test.dead');
    expect(dead!.properties.headers).toMatchObject({
      'warren-failure-code': 'WARREN_PERMANENT',
      'warren-failure-attempts': 1,
    });
  });

  test('a reason that is huge or binary, and headers that fill the frame, do not keep a message from the dead letters', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    await using consumer = createConsumer(connection, {
      settings,
      handle: () => Promise.reject(new PermanentError(`\u0000\ud83d ${'ä'.repeat(100_000)}`)),
    });
    await bench.publish(['full'], { big: 'x'.repeat(64_000), cloudEvents_type: 'OrderPlaced' });
    consumer.start();
    await eventually(async () => (await bench.ready('shop.test.dead')) === 1);
    const [dead] = await bench.take('shop.test.dead');
    const { headers } = dead!.properties;
    const reason = headers!['warren-failure-reason'] as string;
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(2_048);
    expect(reason).toMatch(/^\ufffd\ufffd ä+…$/);
    expect(headers).toMatchObject({ cloudEvents_type: 'OrderPlaced', 'warren-headers-dropped': 1 });
  });

  test('a message that can not be set aside stays in its queue, and is set aside when that works again', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await bench.channel.unbindQueue('shop.test.dead', 'failed_events', 'shop.test');
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const outcomes: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: () => Promise.reject(new PermanentError('never')),
      observer: { onSettled: ({ outcome }) => outcomes.push(outcome) },
    });
    await bench.publish(['kept']);
    consumer.start();
    await eventually(() => outcomes.length >= 1);
    await bench.channel.bindQueue('shop.test.dead', 'failed_events', 'shop.test');
    await eventually(async () => (await bench.ready('shop.test.dead')) === 1);
    expect(outcomes[0]).toBe('requeued');
    expect(outcomes.at(-1)).toBe('dead-lettered');
  });

  test('a handler over its time limit is told by its signal and counts as failed; the others go on', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ attempts: 2, prefetch: 4 });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const reasons: unknown[] = [];
    const others: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      concurrency: 2,
      handlerTimeoutMs: 150,
      handle: async (delivery, { signal }) => {
        if (idOf(delivery) !== 'stuck') {
          others.push(idOf(delivery));
          return;
        }
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        await new Promise(() => undefined); // for ever
      },
    });
    await bench.publish(['stuck', ...ids(40)]);
    consumer.start();
    await eventually(async () => (await bench.ready('shop.test.dead')) === 1);
    expect(others).toHaveLength(40);
    expect(reasons).toMatchObject([{ code: 'WARREN_HANDLER_TIMEOUT' }, { code: 'WARREN_HANDLER_TIMEOUT' }]);
    expect(consumer.running).toBe(0);
    const [dead] = await bench.take('shop.test.dead');
    expect(dead!.properties.headers).toMatchObject({ 'warren-failure-code': 'WARREN_HANDLER_TIMEOUT' });
  });

  test('never runs more handlers than its concurrency, and a strict one keeps the order', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 20, strict: true });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const seen: string[] = [];
    let running = 0;
    let most = 0;
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        seen.push(idOf(delivery));
        running -= 1;
      },
    });
    await bench.publish(ids(200));
    consumer.start();
    await eventually(() => seen.length === 200);
    expect(most).toBe(1);
    expect(seen).toEqual(ids(200));
  });

  test('a slow message does not hold back the acknowledgements of those behind it', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 10 });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const slow = Promise.withResolvers<undefined>();
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        if (idOf(delivery) === 'slow') await slow.promise;
        seen.push(idOf(delivery));
      },
    });
    await bench.publish(['slow', ...ids(500)]);
    consumer.start();
    await eventually(() => seen.length === 500); // far more than the prefetch
    slow.resolve(undefined);
    await eventually(() => seen.length === 501);
    await consumer.stop();
    expect(await bench.ready('shop.test')).toBe(0);
  });

  test('needs far fewer acknowledgement frames than messages', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 100 });
    await bench.publish(ids(2_000));
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const model = await connection.opened();
    let frames = 0;
    const createChannel = model.createChannel.bind(model);
    model.createChannel = async (options) => {
      const channel = await createChannel(options);
      const ack = channel.ack.bind(channel);
      channel.ack = (message, upTo) => {
        frames += 1;
        ack(message, upTo);
      };
      return channel;
    };
    let seen = 0;
    await using consumer = createConsumer(connection, {
      settings,
      handle: () => {
        seen += 1;
        return Promise.resolve();
      },
    });
    consumer.start();
    await eventually(() => seen === 2_000);
    await consumer.stop();
    expect(await bench.ready('shop.test')).toBe(0);
    expect(frames).toBeLessThan(1_000);
  });
});
