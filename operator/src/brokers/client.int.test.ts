import { expect, test } from '@jest/globals';
import { testBroker } from '@warren/environment/testing';
import { connectBroker } from './client.ts';

const queue = { name: 'q', durable: true, autoDelete: false, arguments: { 'x-queue-type': 'quorum' } };
const exchange = { name: 'events', type: 'topic', durable: true, autoDelete: false, arguments: {} };
const binding = {
  source: 'events',
  destination: 'q',
  destinationType: 'queue' as const,
  routingKey: '#',
  arguments: {},
};

/** Makes and removes one of each, and gives back how the broker was told. */
async function told(uriOf: (uri: string) => string): Promise<Set<string>> {
  await using broker = await testBroker();
  const methods = new Set<string>();
  const client = connectBroker({
    url: broker.managementUrl,
    uri: uriOf(broker.amqpUrl),
    vhost: broker.vhost,
    observer: ({ method, status }) => {
      if (status !== undefined && status < 300) methods.add(method);
    },
  });
  try {
    await client.declareExchange(exchange);
    await client.declareQueue(queue);
    await client.bind(binding);
    expect((await client.queue('q'))?.arguments).toMatchObject(queue.arguments);
    await client.unbind(binding);
    await client.deleteQueue('q');
    await client.deleteExchange('events');
    expect(await client.queue('q')).toBeUndefined();
  } finally {
    await client.close();
  }
  return methods;
}

test('exchanges, queues and bindings are written over AMQP, so that none is left half made', async () => {
  expect(await told((uri) => uri)).toEqual(new Set(['GET', 'AMQP']));
});

test('a broker that is not reached by AMQP is written to by its management API', async () => {
  const nobody = (uri: string) => uri.replace(/@[^/]+/, '@127.0.0.1:1');
  expect(await told(nobody)).toEqual(new Set(['GET', 'PUT', 'POST', 'DELETE']));
});
