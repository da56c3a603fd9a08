import { describe, expect, jest, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { Channel, ChannelModel } from 'amqplib';
import { connectBroker, type BrokerConnection } from './connection.ts';
import { createConsumer } from './consumer.ts';
import type { Delivery } from './message.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { Workbench } from './testing/workbench.ts';

const quick = { initialMs: 20, maxMs: 100 };
const ids = (count: number, prefix = 'm') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const idOf = ({ content }: { content: Buffer }) => content.toString();
const never = () => new Promise<void>(() => undefined);

/** The channels that a connection makes from now on, to do harm to. */
async function tapChannels(connection: BrokerConnection): Promise<Channel[]> {
  const channels: Channel[] = [];
  const model: ChannelModel = await connection.opened();
  const createChannel = model.createChannel.bind(model);
  model.createChannel = async (options) => {
    const channel = await createChannel(options);
    channels.push(channel);
    return channel;
  };
  return channels;
}

describe('a consumer, when things break,', () => {
  test('loses nothing and leaves nothing over many cuts of its connection, and never acks across channels', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ attempts: 1_000, prefetch: 50, retryMs: { min: 1, max: 5 } });
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'c', backoff: quick });
    const seen = new Set<string>();
    const complaints: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 8));
        if (Math.random() < 0.05) throw new Error('a bad moment');
        seen.add(idOf(delivery));
      },
      observer: {
        onState: ({ error }) => {
          if (error !== undefined) complaints.push(error.message);
        },
      },
    });
    await bench.publish(ids(3_000));
    consumer.start();
    for (let cut = 1; cut <= 6; cut += 1) {
      const before = seen.size;
      await eventually(() => seen.size > before + 150);
      proxy.cut();
    }
    await eventually(() => seen.size === 3_000, { timeoutMs: 30_000 });
    await eventually(async () => (await bench.ready('shop.test')) === 0);
    await consumer.stop();
    expect(await bench.ready('shop.test')).toBe(0);
    expect(await bench.ready('shop.test.dead')).toBe(0);
    expect(complaints.join()).not.toMatch(/unknown delivery tag|PRECONDITION/);
  });

  test('a cut in the middle of a handler aborts its signal and delivers the message again', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ retryMs: { min: 50, max: 50 } });
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'c', backoff: quick });
    const attempts: number[] = [];
    const reasons: unknown[] = [];
    const outcomes: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery, { signal }) => {
        attempts.push(delivery.attempt);
        if (attempts.length > 1) return;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        reasons.push(signal.reason);
      },
      observer: { onSettled: ({ outcome }) => outcomes.push(outcome) },
    });
    consumer.start();
    await bench.publish(['once']);
    await eventually(() => attempts.length === 1);
    proxy.cut();
    await eventually(() => outcomes.includes('acked'));
    expect(attempts).toEqual([1, 2]);
    expect(outcomes).toEqual(['lost', 'acked']);
    expect(reasons).toMatchObject([{ code: 'WARREN_DELIVERY_LOST' }]);
    await consumer.stop();
    expect(await bench.ready('shop.test')).toBe(0);
  });

  test('a strict one does not start a redelivery beside a handler that ignores its signal', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ strict: true, retryMs: { min: 1, max: 1 } });
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'c', backoff: quick });
    const deaf = Promise.withResolvers<undefined>();
    let starts = 0;
    let running = 0;
    let most = 0;
    await using consumer = createConsumer(connection, {
      settings,
      handle: async () => {
        starts += 1;
        most = Math.max(most, ++running);
        if (starts === 1) await deaf.promise;
        running -= 1;
      },
    });
    consumer.start();
    await bench.publish(['one']);
    await eventually(() => starts === 1);
    proxy.cut();
    await eventually(() => consumer.isConsuming);
    await eventually(async () => (await bench.ready('shop.test')) === 0);
    expect(starts).toBe(1);
    deaf.resolve(undefined);
    await eventually(() => starts === 2);
    expect(most).toBe(1);
  });

  test('comes back alone after the broker closed its channel; the connection stays', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    let opened = 0;
    await using connection = connectBroker({
      url: broker.amqpUrl,
      name: 'c',
      onState: ({ state }) => (opened += Number(state === 'open')),
    });
    const channels = await tapChannels(connection);
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
    });
    consumer.start();
    await consumer.consuming();
    channels[0]!.ack({ fields: { deliveryTag: 999 } } as never); // illegal: 406
    await eventually(() => !consumer.isConsuming);
    await bench.publish(ids(10));
    await eventually(() => seen.length === 10);
    expect(channels.length).toBe(2);
    expect(opened).toBe(1);
  });

  test('waits for a queue that is not there yet, and says so', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await bench.channel.deleteQueue('shop.test');
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const told: string[] = [];
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
      observer: {
        onState: ({ error }) => {
          if (error !== undefined) told.push(error.message);
        },
      },
    });
    consumer.start();
    await eventually(() => told.length >= 3);
    expect(told[0]).toMatch(/no queue 'shop.test'/);
    expect(consumer.isConsuming).toBe(false);
    await bench.subscription();
    await consumer.consuming();
    await bench.publish(ids(5));
    await eventually(() => seen.length === 5);
  });

  test('consumes again after its queue was deleted under it and made anew', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
    });
    consumer.start();
    await bench.publish(['before']);
    await eventually(() => seen.length === 1);
    await bench.channel.deleteQueue('shop.test');
    await eventually(() => !consumer.isConsuming);
    await bench.subscription();
    await bench.publish(['after']);
    await eventually(() => seen.length === 2);
    expect(seen).toEqual(['before', 'after']);
  });

  test('a clock that is set back takes no time limit from a handler', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ retryMs: { min: 50, max: 50 } });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const started = Promise.withResolvers<undefined>();
    const told = Promise.withResolvers<unknown>();
    await using consumer = createConsumer(connection, {
      settings,
      handlerTimeoutMs: 300,
      handle: async ({ attempt }, { signal }) => {
        if (attempt > 1) return;
        signal.addEventListener('abort', () => told.resolve(signal.reason));
        started.resolve(undefined);
        await told.promise;
      },
    });
    await bench.publish(ids(1));
    consumer.start();
    await started.promise;
    const anHourAgo = Date.now() - 3_600_000;
    using _ = jest.spyOn(Date, 'now').mockReturnValue(anHourAgo);
    expect(await told.promise).toMatchObject({ code: 'WARREN_HANDLER_TIMEOUT' });
  });

  test('stop lets running handlers finish, and returns the rest at no cost of an attempt', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 10 });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const gate = Promise.withResolvers<undefined>();
    const started: string[] = [];
    const reasons: unknown[] = [];
    const consumer = createConsumer(connection, {
      settings,
      concurrency: 4,
      handle: async (delivery, { signal }) => {
        started.push(idOf(delivery));
        if (idOf(delivery) !== 'm0') return gate.promise;
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return never();
      },
    });
    await bench.publish(ids(30));
    consumer.start();
    await eventually(() => started.length === 4);
    const stopped = Promise.all([consumer.stop({ deadlineMs: 700 }), consumer.stop({ deadlineMs: 700 })]);
    expect(() => consumer.start()).toThrow(/stopping/);
    gate.resolve(undefined); // three of four finish
    await stopped;
    expect(started).toHaveLength(4);
    expect(reasons).toMatchObject([{ code: 'WARREN_CONSUMER_STOPPED' }]);
    expect(consumer.isConsuming).toBe(false);
    await eventually(async () => (await bench.ready('shop.test')) === 27);

    const again: Delivery[] = [];
    await using other = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void again.push(delivery)),
    });
    other.start();
    await eventually(() => again.length === 27);
    expect(new Set(again.map(idOf))).toEqual(new Set(['m0', ...ids(30).slice(4)]));
    expect(new Set(again.map(({ attempt }) => attempt))).toEqual(new Set([1]));
  });

  test.each(['is back', 'is away'])(
    'stop waits within its time for a handler whose channel was lost, when the broker %s',
    async (now) => {
      await using broker = await testBroker();
      await using bench = await Workbench.open(broker.amqpUrl);
      const settings = await bench.subscription({ prefetch: 1 });
      await using proxy = await tcpProxy(broker.amqpUrl);
      const url = proxy.through(broker.amqpUrl);
      await using connection = connectBroker({ url, name: 'c', backoff: quick });
      const deaf = Promise.withResolvers<undefined>();
      const told: string[] = [];
      const consumer = createConsumer(connection, {
        settings,
        handle: async () => {
          told.push('begun');
          await deaf.promise;
          told.push('ended');
        },
      });
      consumer.start();
      await bench.publish(['one']);
      await eventually(() => told.length === 1);
      await proxy.down();
      await eventually(() => !consumer.isConsuming);
      if (now === 'is back') {
        await proxy.restore();
        await consumer.consuming();
      }
      const since = performance.now();
      await consumer.stop({ deadlineMs: 500 });
      expect(performance.now() - since).toBeGreaterThan(450);
      expect(told).toEqual(['begun']);

      consumer.start();
      const stopped = consumer.stop({ deadlineMs: 20_000 }).then(() => told.push('stopped'));
      setImmediate(() => deaf.resolve(undefined));
      await stopped;
      expect(told).toEqual(['begun', 'ended', 'stopped']);
    },
  );

  test('stop while the broker is away ends at once, and start works when it is back', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const url = proxy.through(broker.amqpUrl);
    await using connection = connectBroker({ url, name: 'c', backoff: quick });
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
    });
    consumer.start();
    await consumer.consuming();
    await proxy.down();
    await eventually(() => !consumer.isConsuming);
    await consumer.stop({ deadlineMs: 600_000 }); // longer than the test: it does not wait for that
    await proxy.restore();
    consumer.start();
    await bench.publish(['back']);
    await eventually(() => seen.length === 1);
  });

  test('takes over a changed prefetch and concurrency while running', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({ prefetch: 2 });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    let gate = Promise.withResolvers<undefined>();
    const seen = new Set<string>();
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        await gate.promise;
        seen.add(idOf(delivery));
      },
    });
    await bench.publish(ids(20));
    consumer.start();
    await eventually(() => consumer.running === 2);
    const first = gate;
    gate = Promise.withResolvers();
    const updated = consumer.update({ ...settings, prefetch: 7 });
    first.resolve(undefined);
    await updated;
    await eventually(() => consumer.running === 7);
    gate.resolve(undefined);
    await eventually(() => seen.size === 20);
  });

  test('a ladder retry that is cut off is tried again: no message is lost', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.subscription({
      mode: 'ladder',
      attempts: 3,
      retryMs: { min: 100, max: 100 },
    });
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'c', backoff: quick });
    const tries = new Map<string, number>();
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => {
        tries.set(idOf(delivery), (tries.get(idOf(delivery)) ?? 0) + 1);
        return Promise.reject(new Error('always'));
      },
    });
    await bench.publish(ids(200));
    consumer.start();
    for (const wanted of [50, 120, 200]) {
      await eventually(() => tries.size >= wanted);
      proxy.cut();
    }
    const dead = new Set<string>();
    await eventually(async () => {
      for (const message of await bench.take('shop.test.dead')) dead.add(idOf(message));
      return dead.size === 200;
    });
    expect([...tries.values()].every((count) => count >= 3)).toBe(true);
  });
});
