/** Each service has a user of its own on the broker, and a rotation of all of them goes by unnoticed. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectBroker, createPublisher } from '@warren/rabbitmq';
import { eventually, manage } from '@warren/environment/testing';
import { pointsFor } from '../services/loyalty/src/account.ts';
import { serviceNames } from '../scripts/shop.ts';
import { TestShop } from './support/test-shop.ts';

/** By service, what the users of its own begin with. */
const userOf = (name: string) => (name === 'user' ? 'publisher.shop.user' : `shop.${name}`);

let shop: TestShop;

beforeAll(async () => {
  shop = await TestShop.start();
}, 120_000);

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
}, 60_000);

async function uriOf(name: string): Promise<string> {
  return readFile(join(shop.stateDir, 'bindings', 'shop', name, 'uri'), 'utf8');
}

/** Of the services' connections for publishing. */
async function usersOfAllConnections(): Promise<string[]> {
  const { vhost, managementUrl } = shop.broker;
  const connections = (await manage(
    managementUrl,
    'GET',
    `/api/vhosts/${encodeURIComponent(vhost)}/connections`,
  )) as { user: string; client_properties?: { connection_name?: string } }[];
  return connections
    .filter(({ client_properties: client }) => / publishes$/.test(client?.connection_name ?? ''))
    .map(({ user }) => user);
}

async function usersConnected(): Promise<string[]> {
  const users = (await shop.management.users()).map(({ name }) => name);
  const ours = users.filter((name) => name.includes(`@${shop.broker.vhost}#`));
  const counts = await Promise.all(ours.map((name) => shop.management.connectionsOf(name)));
  return ours.filter((_, index) => (counts[index] ?? 0) > 0).sort();
}

test('the loyalty service cannot read payment’s queue', async () => {
  await using connection = connectBroker({ url: await uriOf('loyalty'), name: 'a curious loyalty' });
  const consume = async (queue: string) => {
    const channel = await (await connection.opened()).createChannel();
    channel.on('error', () => undefined);
    const { consumerTag } = await channel.consume(queue, () => undefined);
    await channel.cancel(consumerTag);
  };
  await consume('shop.loyalty');
  await expect(consume('shop.payment')).rejects.toThrow(/ACCESS_REFUSED/);
  await expect(consume('shop.loyalty.dead')).rejects.toThrow(/ACCESS_REFUSED/);
});

test('the user service, which only publishes, has no credentials of the broker: it publishes its event, and may do nothing else', async () => {
  await shop.createUser();
  const administrator = new URL(shop.broker.amqpUrl).username;
  await eventually(async () => {
    const users = await usersOfAllConnections();
    expect(users.length).toBeGreaterThanOrEqual(serviceNames.length);
    expect(users).not.toContain(administrator);
    return true;
  });
  const uri = await uriOf('user');
  expect(decodeURIComponent(new URL(uri).username)).toMatch(/^publisher\.shop\.user@/);
  await using connection = connectBroker({ url: uri, name: 'a curious user service' });
  const open = async () => {
    const channel = await (await connection.opened()).createConfirmChannel();
    channel.on('error', () => undefined);
    return channel;
  };
  await expect((await open()).get('shop.payment')).rejects.toThrow(/ACCESS_REFUSED/);
  await expect((await open()).assertQueue('mine')).rejects.toThrow(/ACCESS_REFUSED/);
  await using publisher = createPublisher(connection, { exchange: 'events' });
  const forged = publisher.publish({ routingKey: 'payment.approved', content: Buffer.from('{}') });
  await expect(forged).rejects.toMatchObject({ code: 'WARREN_PUBLISH_FORBIDDEN' });
});

test('credentials of all services change under load: every order completes once, and no process restarts', async () => {
  const ada = await shop.createUser();
  const before = await usersConnected();
  expect(before.map((user) => user.split('@')[0])).toEqual(serviceNames.map(userOf).sort());
  const rotating = new AbortController();
  const placed: string[] = [];
  const placing = (async () => {
    // Some after the last change, too.
    for (let left = 20; left > 0; left -= rotating.signal.aborted ? 1 : 0)
      placed.push((await shop.placeOrder(ada.id, 100)).id);
  })();
  for (const round of ['1', '2']) {
    const uris = await Promise.all(serviceNames.map(uriOf));
    for (const name of serviceNames) await shop.edit(`${name}.yaml`, (yaml) => rotated(yaml, round));
    await eventually(async () => {
      const now = await Promise.all(serviceNames.map(uriOf));
      return now.every((uri, index) => uri !== uris[index]);
    });
    const wanted = (await Promise.all(serviceNames.map(uriOf))).map((uri) =>
      decodeURIComponent(new URL(uri).username),
    );
    await eventually(async () => {
      expect(await usersConnected()).toEqual(wanted.sort());
      return true;
    });
  }
  rotating.abort();
  await placing;
  const decided = await Promise.all(placed.map((id) => shop.decided(id, 60_000)));
  expect(decided.filter(({ status }) => status !== 'completed')).toEqual([]);
  await eventually(async () => {
    expect(await shop.points(ada.id)).toBe(placed.length * pointsFor(100));
    return true;
  });
  expect(shop.records.filter(({ msg }) => msg === 'listening')).toHaveLength(serviceNames.length);
}, 120_000);

/** The sample's text with another value of the annotation. */
function rotated(yaml: string, value: string): string {
  const line = `  annotations: { warren.events/rotate: '${value}' }`;
  return /rotate:/.test(yaml)
    ? yaml.replace(/^ {2}annotations: .*$/m, line)
    : yaml.replace(/^metadata:$/m, `metadata:\n${line}`);
}
