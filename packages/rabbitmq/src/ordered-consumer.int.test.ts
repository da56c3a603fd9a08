import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createConsumer } from './consumer.ts';
import { headerNames } from './message.ts';
import { PermanentError } from './errors.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { Workbench } from './testing/workbench.ts';
import type { ConsumerSettings } from '@warren/topology';

const ids = (count: number, prefix = 'm') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const idOf = ({ content }: { content: Buffer }) => content.toString();
const inPlace = { strict: true, mode: 'in-place', prefetch: 20 } as const;

/** Partitions made by hand; messages go into them by name. */
async function partitioned(bench: Workbench, count: number): Promise<ConsumerSettings> {
  const settings = await bench.subscription(inPlace);
  const partitions = Array.from({ length: count }, (_, index) => `shop.test.partition.0${index}`);
  for (const queue of partitions)
    await bench.channel.assertQueue(queue, {
      arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true },
    });
  return { ...settings, partitions };
}

async function fill(bench: Workbench, queue: string, all: readonly string[]): Promise<void> {
  for (const id of all)
    bench.channel.publish('', queue, Buffer.from(id), { persistent: true, messageId: id });
  await bench.channel.waitForConfirms();
}

test('what fails keeps its place until it is handled, or set aside after its last attempt', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription({ ...inPlace, attempts: 3, retryMs: { min: 20, max: 40 } });
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
  const tried: string[] = [];
  await using consumer = createConsumer(connection, {
    settings,
    handle: (delivery) => {
      const { attempt } = delivery;
      tried.push(`${idOf(delivery)}/${attempt}`);
      if (idOf(delivery) === 'm1' && attempt < 3) return Promise.reject(new Error('not yet'));
      if (idOf(delivery) === 'm3') return Promise.reject(new Error('never'));
      return idOf(delivery) === 'm4' ? Promise.reject(new PermanentError('no')) : Promise.resolve();
    },
  });
  await bench.publish(ids(6));
  consumer.start();
  await eventually(async () => tried.includes('m5/1') && (await bench.ready('shop.test.dead')) === 2);
  expect(tried).toEqual(['m0/1', 'm1/1', 'm1/2', 'm1/3', 'm2/1', 'm3/1', 'm3/2', 'm3/3', 'm4/1', 'm5/1']);
  const dead = await bench.take('shop.test.dead');
  expect(
    dead.map(({ content, properties }) => {
      const headers = properties.headers as Record<string, unknown>;
      return [content.toString(), headers[headerNames.failureReason], headers[headerNames.failureAttempts]];
    }),
  ).toEqual([
    ['m3', 'never', 3],
    ['m4', 'no', 1],
  ]);
});

test('what fails without an id is counted too, and does not hold up the rest for ever', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription({ ...inPlace, attempts: 3, retryMs: { min: 10, max: 20 } });
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
  const tried: string[] = [];
  await using consumer = createConsumer(connection, {
    settings,
    handle: (delivery) => {
      tried.push(`${idOf(delivery)}/${delivery.attempt}`);
      return idOf(delivery) === 'bad' ? Promise.reject(new Error('never')) : Promise.resolve();
    },
  });
  bench.channel.publish('events', 'order.placed', Buffer.from('bad'), { persistent: true });
  await bench.publish(['next']);
  consumer.start();
  await eventually(() => tried.includes('next/1'));
  expect(tried).toEqual(['bad/1', 'bad/2', 'bad/3', 'next/1']);
});

test('a lost connection costs neither the place nor the attempts', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription({ ...inPlace, attempts: 4, retryMs: { min: 150, max: 150 } });
  await using proxy = await tcpProxy(broker.amqpUrl);
  await using connection = connectBroker({
    url: proxy.through(broker.amqpUrl),
    name: 'c',
    backoff: { initialMs: 20, maxMs: 50 },
  });
  const tried: string[] = [];
  await using consumer = createConsumer(connection, {
    settings,
    handle: (delivery) => {
      tried.push(`${idOf(delivery)}/${delivery.attempt}`);
      return idOf(delivery) === 'm0' ? Promise.reject(new Error('never')) : Promise.resolve();
    },
  });
  await bench.publish(ids(3));
  consumer.start();
  await eventually(() => tried.length === 2);
  proxy.cut();
  await eventually(() => tried.includes('m2/1'));
  expect(tried).toEqual(['m0/1', 'm0/2', 'm0/3', 'm0/4', 'm1/1', 'm2/1']);
});

test('a consumer that is stopped in the middle hands over in order, to one that begins only then', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription(inPlace);
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
  const log: string[] = [];
  const release = Promise.withResolvers<undefined>();
  const consumerOf = (who: string, until?: Promise<unknown>) =>
    createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        await until;
        log.push(`${who} ${idOf(delivery)}`);
      },
    });
  await using first = consumerOf('first', release.promise);
  await using second = consumerOf('second');
  await bench.publish(ids(60));
  first.start();
  await eventually(() => first.running === 1);
  second.start();
  await second.consuming();
  const stopped = first.stop();
  await eventually(async () => (await bench.ready('shop.test')) === 40);
  expect(log).toEqual([]);
  release.resolve(undefined);
  await stopped;
  await eventually(() => log.length === 60);
  expect(log.map((line) => line.split(' ')[1])).toEqual(ids(60));
  expect(log.slice(0, 2)).toEqual(['first m0', 'second m1']);
});

test('partitions run beside each other, each in its order, and one that is stuck holds up no other', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await partitioned(bench, 3);
  const [a = '', b = '', c = ''] = settings.partitions ?? [];
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
  const done = new Map<string, string[]>();
  const stuck = Promise.withResolvers<undefined>();
  const states: boolean[] = [];
  await using consumer = createConsumer(connection, {
    settings,
    handle: async (delivery) => {
      if (delivery.queue === a) await stuck.promise;
      done.set(delivery.queue, [...(done.get(delivery.queue) ?? []), idOf(delivery)]);
    },
    observer: { onState: ({ consuming }) => states.push(consuming) },
  });
  for (const queue of [a, b, c]) await fill(bench, queue, ids(50, queue));
  consumer.start();
  await consumer.consuming();
  expect(consumer.isConsuming).toBe(true);
  await eventually(() => done.get(b)?.length === 50 && done.get(c)?.length === 50);
  expect(done.get(a)).toBeUndefined();
  expect(consumer.running).toBe(1);
  stuck.resolve(undefined);
  await eventually(() => done.get(a)?.length === 50);
  for (const queue of [a, b, c]) expect(done.get(queue)).toEqual(ids(50, queue));
  expect(states).toEqual([true]);
  await consumer.update({ ...(await bench.subscription(inPlace)) });
  await consumer.consuming();
  await bench.publish(['after']);
  await eventually(() => done.get('shop.test')?.length === 1);
});

test('a replica that joins takes over partitions, in their order, and gives them back when it goes', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await partitioned(bench, 8);
  const partitions = settings.partitions ?? [];
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
  const seen = new Map<string, string[]>(partitions.map((queue) => [queue, []]));
  const by = { first: new Set<string>(), second: new Set<string>() };
  const busy = new Set<string>();
  const consumerOf = (who: 'first' | 'second') =>
    createConsumer(connection, {
      settings,
      handle: async (delivery) => {
        expect(busy.has(delivery.queue)).toBe(false);
        busy.add(delivery.queue);
        await new Promise((resolve) => setTimeout(resolve, 1));
        busy.delete(delivery.queue);
        by[who].add(delivery.queue);
        seen.get(delivery.queue)?.push(idOf(delivery));
      },
    });
  let sent = 0;
  const more = async () => {
    const next = ids(10).map((_, index) => `m${sent + index}`);
    sent += 10;
    for (const queue of partitions) await fill(bench, queue, next);
  };
  await using first = consumerOf('first');
  first.start();
  await first.consuming();
  await more();
  await eventually(() => by.first.size === 8);
  const second = consumerOf('second');
  second.start();
  await second.consuming();
  // Chance decides who prefers what; that somebody gets nothing of eight is rarer than once in 40,000 runs.
  await eventually(async () => {
    await more();
    return by.second.size > 0 && by.second.size < 8;
  });
  await second.stop();
  by.first.clear();
  await more();
  await eventually(() => by.first.size === 8);
  await eventually(() => [...seen.values()].every(({ length }) => length === sent));
  for (const queue of partitions) expect(seen.get(queue)).toEqual(ids(sent));
});
