import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createConsumer } from './consumer.ts';
import { PermanentError } from './errors.ts';
import { createManagementClient } from './management/client.ts';
import type { Delivery } from './message.ts';
import { Workbench } from './testing/workbench.ts';

const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `m${from + index}`);
const idOf = ({ content }: { content: Buffer }) => content.toString();

describe('a consumer of a stream', () => {
  test('handles every event in order, and goes on from its place after a stop', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.stream({ prefetch: 50, strict: true });
    await bench.publish(ids(0, 300));
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const seen: Delivery[] = [];
    const options = {
      settings,
      handle: (delivery: Delivery) => Promise.resolve(void seen.push(delivery)),
    };
    await using consumer = createConsumer(connection, options);
    consumer.start();
    await eventually(() => seen.length === 300);
    await consumer.stop();
    await bench.publish(ids(300, 310));
    consumer.start();
    await eventually(() => seen.length >= 310);
    await using another = createConsumer(connection, options);
    await consumer.stop();
    await bench.publish(ids(310, 320));
    another.start();
    await eventually(() => seen.length >= 320);
    expect(seen.map(idOf)).toEqual(ids(0, 320));
    expect(seen[0]).toMatchObject({ attempt: 1, routingKey: 'order.placed', exchange: 'events' });
    await another.stop();
    // The last place, and the one before it where nobody waited for the last to come back; counted a moment later.
    await eventually(async () => [1, 2].includes(await bench.ready('shop.stream.offset')));
  });

  test('retries with growing delay, dead-letters with the reason, and holds nobody up meanwhile', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.stream({ attempts: 3, retryMs: { min: 200, max: 400 } });
    await bench.publish(['bad', 'worse', ...ids(0, 20)]);
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const tries: { id: string; attempt: number; at: number; routingKey: string }[] = [];
    const done: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => {
        const id = idOf(delivery);
        if (id.startsWith('m')) return Promise.resolve(void done.push(id));
        const { attempt, routingKey } = delivery;
        tries.push({ id, attempt, routingKey, at: performance.now() });
        return Promise.reject(id === 'bad' ? new Error('no luck') : new PermanentError('never'));
      },
    });
    consumer.start();
    await eventually(async () => (await bench.ready('shop.stream.dead')) === 2);
    expect(done.sort()).toEqual(ids(0, 20).sort());
    const bad = tries.filter(({ id }) => id === 'bad');
    expect(bad.map(({ attempt, routingKey }) => [attempt, routingKey])).toEqual([
      [1, 'order.placed'],
      [2, 'order.placed'],
      [3, 'order.placed'],
    ]);
    expect(bad[2]!.at - bad[0]!.at).toBeGreaterThanOrEqual(600);
    await consumer.stop();
    const dead = await bench.take('shop.stream.dead');
    expect(
      dead.map(({ content, properties }) => {
        const headers = properties.headers as Record<string, unknown>;
        return [content.toString(), headers['warren-failure-reason'], headers['warren-failure-attempts']];
      }),
    ).toEqual([
      ['worse', 'never', 1],
      ['bad', 'no luck', 3],
    ]);
    // The stream itself is as it was published.
    const again: string[] = [];
    await using reader = createConsumer(connection, {
      settings: { ...settings, stream: { ...settings.stream!, offsets: 'shop.stream.dead' } },
      handle: (delivery) => Promise.resolve(void again.push(idOf(delivery))),
    });
    reader.start();
    await eventually(() => again.length === 22);
    expect(again.sort()).toEqual(['bad', 'worse', ...ids(0, 20)].sort());
  });

  test('keeps what fails in its place where it keeps an order, until it is handled or a dead letter', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.stream({ strict: true, attempts: 3, retryMs: { min: 20, max: 40 } });
    await bench.publish(ids(0, 6));
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const tried: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => {
        const [id, { attempt }] = [idOf(delivery), delivery];
        tried.push(`${id}/${attempt}`);
        if (id === 'm1' && attempt < 3) return Promise.reject(new Error('not yet'));
        if (id === 'm3') return Promise.reject(new Error('never'));
        return id === 'm4' ? Promise.reject(new PermanentError('no')) : Promise.resolve();
      },
    });
    consumer.start();
    await eventually(async () => tried.includes('m5/1') && (await bench.ready('shop.stream.dead')) === 2);
    expect(tried).toEqual(['m0/1', 'm1/1', 'm1/2', 'm1/3', 'm2/1', 'm3/1', 'm3/2', 'm3/3', 'm4/1', 'm5/1']);
    expect((await bench.take('shop.stream.dead')).map(idOf)).toEqual(['m3', 'm4']);
    expect(await bench.ready('shop.stream.retry')).toBe(0);
  });

  test('that keeps an order costs a failing event neither its place nor its attempts with its connection, and hands over in order', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
    const settings = await bench.stream({ strict: true, attempts: 100, retryMs: { min: 300, max: 300 } });
    await bench.publish(ids(0, 30));
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'victim' });
    const tried: string[] = [];
    let isWell = false;
    const options = {
      settings,
      handle: (delivery: Delivery) => {
        tried.push(`${idOf(delivery)}/${delivery.attempt}`);
        return idOf(delivery) === 'm2' && !isWell ? Promise.reject(new Error('no luck')) : Promise.resolve();
      },
    };
    await using consumer = createConsumer(connection, options);
    consumer.start();
    const victim = await eventually(async () =>
      (await api.connections()).find(({ clientName }) => clientName === 'victim'),
    );
    await eventually(() => tried.includes('m2/1'));
    await api.closeConnection(victim.name, 'test');
    await eventually(() => tried.includes('m2/3'));
    const ofBad = tried.filter((each) => each.startsWith('m2/'));
    expect(ofBad.slice(0, 3)).toEqual(['m2/1', 'm2/2', 'm2/3']);
    expect(tried.some((each) => each.startsWith('m3/'))).toBe(false);
    // One that comes after counts anew, and begins with what the first one held.
    await consumer.stop();
    const before = tried.length;
    isWell = true;
    await using next = createConsumer(connection, options);
    next.start();
    await eventually(() => tried.includes('m29/1'));
    const after = tried.slice(before).filter((each) => !/^m[01]\//.test(each));
    expect(after).toEqual(ids(2, 30).map((id) => `${id}/1`));
  });

  test('that loses its connection reads again what was not finished, and skips nothing', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
    const settings = await bench.stream({ prefetch: 20 });
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'victim' });
    const finished = new Map<string, number>();
    let held = 0;
    await using consumer = createConsumer(connection, {
      settings,
      handle: async (delivery, { signal }) => {
        const id = idOf(delivery);
        // The first ones never end, until their channel is lost: the place must not get past them.
        if (['m3', 'm4'].includes(id) && held < 2) {
          held += 1;
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('lost'))));
        }
        finished.set(id, (finished.get(id) ?? 0) + 1);
      },
    });
    consumer.start();
    await bench.publish(ids(0, 100));
    await eventually(() => held === 2 && finished.size >= 18);
    const victim = await eventually(async () =>
      (await api.connections()).find(({ clientName }) => clientName === 'victim'),
    );
    await api.closeConnection(victim.name, 'test');
    await bench.publish(ids(100, 200));
    await eventually(() => finished.size === 200);
    expect([...finished.keys()].sort()).toEqual(ids(0, 200).sort());
  });

  test('stands by while another reads, and reads on when that one ends', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.stream();
    const seen: [string, string][] = [];
    const start = (name: string) => {
      const connection = connectBroker({ url: broker.amqpUrl, name });
      const consumer = createConsumer(connection, {
        settings,
        handle: (delivery) => Promise.resolve(void seen.push([name, idOf(delivery)])),
      });
      consumer.start();
      return {
        consumer,
        async [Symbol.asyncDispose]() {
          await consumer.stop();
          await connection.close();
        },
      };
    };
    await using first = start('first');
    await first.consumer.consuming();
    await bench.publish(ids(0, 10));
    await eventually(() => seen.length === 10);
    await using second = start('second');
    await using third = start('third');
    await Promise.all([second.consumer.consuming(), third.consumer.consuming()]);
    await bench.publish(ids(10, 20));
    await eventually(() => seen.length === 20);
    expect(new Set(seen.map(([name]) => name))).toEqual(new Set(['first']));
    await first.consumer.stop();
    await bench.publish(ids(20, 30));
    await eventually(() => seen.length === 30);
    expect(new Set(seen.slice(20).map(([name]) => name)).size).toBe(1);
    expect(seen.map(([, id]) => id).sort()).toEqual(ids(0, 30).sort());
  });

  test('reads a stream from its beginning that was deleted and made anew', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const settings = await bench.stream();
    await bench.publish(ids(0, 10));
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'c' });
    const seen: string[] = [];
    await using consumer = createConsumer(connection, {
      settings,
      handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
    });
    consumer.start();
    await eventually(() => seen.length === 10);
    await consumer.stop();
    await bench.channel.deleteQueue('shop.stream');
    await bench.stream();
    await bench.publish(ids(100, 115));
    consumer.start();
    await eventually(() => seen.length === 25);
    expect(seen.slice(10)).toEqual(ids(100, 115));
  });

  test('begins where its subscription says', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    const inAMinute = new Date(Date.now() + 60_000).toISOString();
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
    await bench.stream();
    await bench.publish(['old']);
    const read = async (startFrom: string, offsets: string) => {
      await bench.channel.assertQueue(offsets, {
        arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true },
      });
      const settings = await bench.stream({ startFrom });
      const connection = connectBroker({ url: broker.amqpUrl, name: offsets });
      const seen: string[] = [];
      const consumer = createConsumer(connection, {
        settings: { ...settings, stream: { ...settings.stream!, offsets } },
        handle: (delivery) => Promise.resolve(void seen.push(idOf(delivery))),
      });
      consumer.start();
      return {
        seen,
        async [Symbol.asyncDispose]() {
          await consumer.stop();
          await connection.close();
        },
      };
    };
    await using earliest = await read('Earliest', 'a.offset');
    await using past = await read(hourAgo, 'b.offset');
    await using future = await read(inAMinute, 'c.offset');
    await eventually(() => earliest.seen.length === 1 && past.seen.length === 1);
    expect(future.seen).toEqual([]);
  });
});
