import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { Channel, ConsumeMessage } from 'amqplib';
import { KeptChannel } from './channel.ts';
import { connectBroker } from './connection.ts';
import { createPublisher } from './publisher.ts';
import { StreamReading } from './stream-reading.ts';
import { Workbench } from './testing/workbench.ts';

/** A reader that has done everything up to `m2` of a stream that is now empty. */
async function reader({ before }: { before: (epoch: number, bench: Workbench) => Promise<void> }) {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const bench = stack.use(await Workbench.open(broker.amqpUrl));
  const settings = await bench.stream();
  const stream = settings.stream!;
  const place = { kind: 'place', reader: 'the one before', offset: 2, messageId: 'm2' };
  bench.channel.sendToQueue(stream.offsets, Buffer.from(JSON.stringify(place)), { persistent: true });
  await bench.channel.waitForConfirms();
  const connection = stack.use(connectBroker({ url: broker.amqpUrl, name: 'reader' }));
  const publisher = stack.use(createPublisher(connection, { exchange: 'events' }));
  const seen: string[] = [];
  const ends: string[] = [];
  const silences = { count: 0 };
  const kept = new KeptChannel<Channel>(connection, {
    open: (model) => model.createChannel(),
    ready: async (lease) => {
      await lease.channel.prefetch(100);
      await before(lease.epoch, bench);
      const reading = new StreamReading(lease, {
        settings: { ...settings, stream },
        observer: {},
        publish: (message) => publisher.publish(message),
        proofWithinMs: 500,
        silences,
      });
      await reading.stand(await connection.opened());
      await reading.read({
        isReleasing: false,
        deliver: ({ content }: ConsumeMessage) => void seen.push(content.toString()),
        skip: (message) => lease.channel.ack(message),
      });
    },
    lost: (_, { message }) => void ends.push(message),
  });
  stack.defer(() => kept.close());
  return { bench, seen, ends, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const nothing = 'shop.stream gives nothing at the place up to which it was read';
const another = 'shop.stream is not the stream that was read before: it is read from its beginning';

test('a stream that was silent once is read on from its place, not from its beginning', async () => {
  await using t = await reader({
    before: async (epoch, bench) => {
      if (epoch === 2) await bench.publish(['m0', 'm1', 'm2', 'm3']);
    },
  });
  await eventually(() => t.seen.includes('m3'));
  expect(t.ends).toEqual([nothing]);
  expect(t.seen).toEqual(['m3']);
});

test('a stream that is silent twice in a row is read from its beginning', async () => {
  await using t = await reader({ before: () => Promise.resolve() });
  await eventually(() => t.ends.length === 2);
  await t.bench.publish(['n0', 'n1', 'n2', 'n3']);
  await eventually(() => t.seen.length === 4);
  expect(t.seen).toEqual(['n0', 'n1', 'n2', 'n3']);
  expect(t.ends).toEqual([nothing, another]);
});
