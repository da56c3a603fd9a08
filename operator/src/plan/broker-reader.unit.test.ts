import { expect, test } from '@jest/globals';
import { ForbiddenError } from '@warren/controller';
import type { BrokerResource } from '../resources.ts';
import { findBrokers } from './broker-reader.ts';
import type { BrokerReader } from './broker-reader.ts';

const secret = { uri: 'amqp://me:secret@of-the-secret/shop', 'management-uri': 'http://of-the-secret:15672' };
const env = { RABBITMQ_URL: 'amqp://me:secret@of-the-environment/shop' };

function brokers(...names: string[]): Map<string, BrokerResource> {
  const secretRef = { namespace: 'warren-system', name: 'rabbitmq' };
  return new Map(names.map((name) => [name, { metadata: { name }, spec: { secretRef } }]));
}

async function found(
  readSecret: BrokerReader['present']['readSecret'],
  { env: by = {}, names = ['default'], mayBeUnknown = false }: FindOptions = {},
) {
  const present = {
    readSecret,
    clusterId: () => Promise.resolve(undefined),
    broker: () => Promise.resolve(undefined),
  };
  const all = await findBrokers(brokers(...names), { present, env: by, mayBeUnknown });
  return [...all.values()].map((one) => one && { host: new URL(one.access.uri).host, by: one.by });
}

interface FindOptions {
  env?: Record<string, string>;
  names?: string[];
  mayBeUnknown?: boolean;
}

const readable = () => Promise.resolve(secret);
const missing = () => Promise.resolve(undefined);
const forbidden = () =>
  Promise.reject(
    new ForbiddenError('you may not', { status: 403, request: 'GET /secrets', reason: 'Forbidden' }),
  );

test('a broker is where its Secret says, whatever the environment names', async () => {
  const bySecret = { host: 'of-the-secret', by: 'the Secret warren-system/rabbitmq' };
  expect(await found(readable)).toEqual([bySecret]);
  expect(await found(readable, { env })).toEqual([bySecret]);
});

test.each([
  ['is not to be read', forbidden],
  ['is not there', missing],
])('it is that of the environment where its Secret %s', async (_what, readSecret) => {
  expect(await found(readSecret, { env })).toEqual([{ host: 'of-the-environment', by: 'RABBITMQ_URL' }]);
  await expect(found(readSecret)).rejects.toThrow(/^EventBroker "default": .*\(or set RABBITMQ_URL\)$/);
});

test('what else keeps a Secret from being read is told', async () => {
  const away = () => Promise.reject(new Error('the API server is away'));
  await expect(found(away, { env })).rejects.toThrow('EventBroker "default": the API server is away');
  await expect(found(() => Promise.resolve({}), { env })).rejects.toThrow('has no key "uri"');
});

test('the environment stands in for one broker, not for two', async () => {
  const names = ['one', 'two'];
  await expect(found(forbidden, { env, names })).rejects.toThrow('the EventBrokers "one", "two"');
  expect(await found(readable, { env, names })).toHaveLength(2);
});

test('an EventBroker that nobody knows is that of the environment only where nobody could know it', async () => {
  const unknown = new Map([['default', undefined]]);
  const present = { readSecret: missing, clusterId: missing, broker: missing };
  const ask = (mayBeUnknown: boolean) => findBrokers(unknown, { present, env, mayBeUnknown });
  expect((await ask(true)).get('default')?.by).toBe('RABBITMQ_URL');
  expect((await ask(false)).get('default')).toBeUndefined();
});
