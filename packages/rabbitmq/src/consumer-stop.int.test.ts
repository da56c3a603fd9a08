import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { Channel } from 'amqplib';
import { connectBroker } from './connection.ts';
import { createConsumer } from './consumer.ts';
import { Workbench } from './testing/workbench.ts';

test('a consumer that is stopped before the broker has accepted it gives nothing back again and again', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription({ prefetch: 10 });
  const backoff = { initialMs: 20, maxMs: 100 };
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'c', backoff });
  const deaf = Promise.withResolvers<undefined>();
  let started = 0;
  const consumer = createConsumer(connection, {
    settings,
    concurrency: 1,
    handle: async () => {
      started += 1;
      await deaf.promise;
    },
  });
  const model = await connection.opened();
  const createChannel = model.createChannel.bind(model);
  const channels: Channel[] = [];
  let stopped: Promise<void> | undefined;
  let nacked = 0;
  model.createChannel = async (options) => {
    const channel = await createChannel(options);
    if (channels.push(channel) === 1) return channel;
    const [consume, nack] = [channel.consume.bind(channel), channel.nack.bind(channel)];
    channel.consume = (...args) => {
      const answer = consume(...args);
      stopped = consumer.stop();
      return answer;
    };
    channel.nack = (...args) => {
      nacked += 1;
      nack(...args);
    };
    return channel;
  };
  await bench.publish(['a', 'b', 'c']);
  consumer.start();
  await eventually(() => started === 1);
  channels[0]!.ack({ fields: { deliveryTag: 999 } } as never); // illegal: 406
  await eventually(async () => stopped !== undefined && (await bench.ready('shop.test')) === 3);
  deaf.resolve(undefined);
  await stopped;
  expect({ started, nacked }).toEqual({ started: 1, nacked: 0 });
});
