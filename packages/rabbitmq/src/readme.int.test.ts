/** The example of README.md, compiled and run: the lines between the marks are the ones that stand there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker, createConsumer, createPublisher, PermanentError } from '@warren/rabbitmq';
import type { ConsumerSettings } from '@warren/rabbitmq';
import { Workbench } from './testing/workbench.ts';

async function example(
  url: string,
  settings: ConsumerSettings,
  addPoints: (order: unknown) => Promise<void>,
) {
  // README begins
  const connection = connectBroker({ url, name: 'loyalty' });
  const publisher = createPublisher(connection, { exchange: 'events' });
  const consumer = createConsumer(connection, {
    settings, // the queue, its prefetch, attempts and retry: consumerSettings() of @warren/topology makes them
    handle: async ({ content, properties }) => {
      if (properties.contentType !== 'application/json') throw new PermanentError('not JSON'); // a dead letter at once
      await addPoints(JSON.parse(content.toString())); // throws: tried again, later
    },
  });
  consumer.start();

  // Resolves when every queue that is bound for it has it on disk.
  await publisher.publish({
    routingKey: 'order.placed',
    content: Buffer.from('{"orderId":"o-1"}'),
    properties: { messageId: 'e-1', contentType: 'application/json' },
  });

  process.once('SIGTERM', () => {
    void consumer.stop({ deadlineMs: 20_000 }).then(() => connection.close());
  });
  // README ends
  return { publisher, consumer, connection };
}

test('the example of the README works', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const settings = await bench.subscription({ retryMs: { min: 1, max: 1 } });
  const orders: unknown[] = [];
  let failures = 1;
  const { publisher, consumer, connection } = await example(broker.amqpUrl, settings, (order) => {
    if (failures-- > 0) return Promise.reject(new Error('a bad moment'));
    orders.push(order);
    return Promise.resolve();
  });
  try {
    await publisher.publish({ routingKey: 'order.placed', content: Buffer.from('<xml>') });
    await eventually(async () => (await bench.ready('shop.test.dead')) === 1);
    await eventually(() => orders.length === 1);
    expect(orders).toEqual([{ orderId: 'o-1' }]);
    process.emit('SIGTERM');
    await eventually(() => connection.isClosed);
  } finally {
    await consumer.stop();
    await connection.close();
  }
});

test('the README shows these very lines', async () => {
  const readme = await readFile(join(import.meta.dirname, '../README.md'), 'utf8');
  const test = await readFile(import.meta.filename, 'utf8');
  const [, marked = ''] = /\/\/ README begins\n([^]*?) *\/\/ README ends/.exec(test) ?? [];
  expect(readme).toContain(marked.replaceAll(/^ {2}/gm, ''));
});
