/** What tests are given is theirs alone, works, and is gone afterwards. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'amqplib';
import { mongo } from 'mongoose';
import { describe, expect, test } from '@jest/globals';
import {
  dedicatedBroker,
  eventually,
  manage,
  testBroker,
  testDatabase,
  testEndpoints,
  testPrometheus,
  type DedicatedBroker,
} from './testing.ts';

async function vhosts(): Promise<string[]> {
  const all = await manage(testEndpoints().rabbitmq.management, 'GET', '/api/vhosts');
  return (all as { name: string }[]).map(({ name }) => name);
}

test('a virtual host takes clients, and is gone afterwards', async () => {
  let vhost: string;
  {
    await using broker = await testBroker();
    await using other = await testBroker();
    vhost = broker.vhost;
    expect(other.vhost).not.toBe(vhost);
    const connection = await connect(broker.amqpUrl);
    const channel = await connection.createChannel();
    await channel.assertQueue('q', { arguments: { 'x-queue-type': 'quorum' } });
    await connection.close();
    expect(await vhosts()).toContain(vhost);
  }
  expect(await vhosts()).not.toContain(vhost);
});

test('a broker that closes a kept connection in the face of a request is asked again', async () => {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    if (requests % 2 === 1) request.socket.destroy();
    else response.end(request.method === 'GET' ? '[]' : '');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const managementUrl = `http://guest:guest@127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const on = { amqpUrl: 'amqp://127.0.0.1:1', managementUrl } as DedicatedBroker;
    await (await testBroker({ on }))[Symbol.asyncDispose]();
    expect(requests).toBe(8);
  } finally {
    server.close();
  }
});

test('a database takes documents, and is gone afterwards', async () => {
  await using client = new mongo.MongoClient(testEndpoints().mongodb);
  const names = async () => (await client.db().admin().listDatabases()).databases.map(({ name }) => name);
  let name: string;
  {
    await using database = await testDatabase();
    name = database.name;
    await using own = new mongo.MongoClient(database.url);
    await own.db().collection('c').insertOne({ is: 'there' });
    expect(await names()).toContain(name);
  }
  expect(await names()).not.toContain(name);
});

describe('a broker of its own', () => {
  test('keeps its messages over a restart and over a kill', async () => {
    await using broker = await dedicatedBroker();
    const queue = 'kept';
    const publish = async (text: string) => {
      const connection = await connect(broker.amqpUrl);
      const channel = await connection.createConfirmChannel();
      await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } });
      channel.sendToQueue(queue, Buffer.from(text), { persistent: true });
      await channel.waitForConfirms();
      await connection.close();
    };
    await publish('one');
    await broker.restart();
    await publish('two');
    await broker.kill();
    await expect(connect(broker.amqpUrl)).rejects.toThrow();
    await broker.start();
    const connection = await connect(broker.amqpUrl);
    const channel = await connection.createChannel();
    const texts: string[] = [];
    await eventually(async () => {
      const message = await channel.get(queue, { noAck: true });
      if (message !== false) texts.push(message.content.toString());
      return texts.length === 2;
    });
    expect(texts).toEqual(['one', 'two']);
    await connection.close();
  });
});

test('a Prometheus of its own scrapes what it is told, and answers queries', async () => {
  const target = new URL(testEndpoints().rabbitmq.prometheus ?? 'http://127.0.0.1:15692/metrics').host;
  const config = {
    scrape_configs: [
      { job_name: 'rabbitmq', scrape_interval: '1s', static_configs: [{ targets: [target] }] },
    ],
  };
  // JSON is YAML.
  await using prometheus = await testPrometheus(JSON.stringify(config));
  await eventually(async () => {
    const response = await fetch(`${prometheus.url}/api/v1/query?query=up`);
    const { data } = (await response.json()) as { data: { result: { value: [number, string] }[] } };
    return data.result[0]?.value[1] === '1';
  });
});
