import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hashPassword, hasPassword } from '@warren/rabbitmq';
import type { UserFound } from '@warren/rabbitmq';
import { plainSpec } from '@warren/topology/testing';
import { isDue } from './handout.ts';
import {
  credentialsIn,
  newPassword,
  newUserName,
  permissionOf,
  readUserName,
  troubleWith,
  uriFor,
} from './user.ts';
import type { Rights } from './user.ts';

const of = { namespace: 'shop', name: 'loyalty', vhost: 'orders' };
const exchanges = { events: 'events', failedEvents: 'failed_events' };
const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?$/);

test('a user’s name says whose it is, whatever the virtual host is called', () => {
  fc.assert(
    fc.property(label, label, fc.string({ minLength: 1 }), (namespace, name, vhost) => {
      const of = { namespace, name, vhost };
      expect(readUserName(newUserName(of))).toEqual(of);
      const publisher = { ...of, kind: 'publisher' } as const;
      expect(readUserName(newUserName(publisher))).toEqual(publisher);
      expect(
        credentialsIn(uriFor('amqp://broker/', { user: newUserName(of), password: 'x' }), publisher),
      ).toBe(undefined);
    }),
  );
  for (const other of ['guest', 'shop.loyalty', 'shop.loyalty@orders#xyz', 'shop.a.b@orders#3f9a2c01'])
    expect(readUserName(other)).toBeUndefined();
});

test('credentials survive their way through a uri, and others than its own are nobody’s', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (vhost) => {
      const mine = { ...of, vhost };
      const credentials = { user: newUserName(mine), password: newPassword() };
      const uri = uriFor('amqps://admin:s3cret@broker:5671/x?heartbeat=5', credentials);
      expect(credentialsIn(uri, mine)).toEqual(credentials);
      expect(uri).not.toContain('s3cret');
      expect(new URL(uri)).toMatchObject({ host: 'broker:5671', pathname: '/x', search: '?heartbeat=5' });
      expect(credentialsIn(uri, { ...mine, name: 'payment' })).toBeUndefined();
      expect(credentialsIn(uri, { ...mine, vhost: `${vhost}2` })).toBeUndefined();
      expect(credentialsIn(uri, { namespace: mine.namespace, name: mine.name })).toEqual(credentials);
    }),
  );
  expect(credentialsIn('amqp://guest:guest@broker/', of)).toBeUndefined();
  expect(credentialsIn('not a uri', of)).toBeUndefined();
});

test('it reads its queue and partitions and nothing that only looks like them, and declares nothing', () => {
  const { configure, write, read } = permissionOf('shop.loyalty', exchanges, false);
  const may = (pattern: string, name: string) => new RegExp(pattern).test(name);
  for (const own of [
    'shop.loyalty',
    'shop.loyalty.partition.00',
    'shop.loyalty.partition.12',
    'shop.loyalty.offset',
    'shop.loyalty.retry',
  ])
    expect(may(read, own)).toBe(true);
  for (const other of [
    'shop.payment',
    'shop.loyalty.dead',
    'shopxloyalty',
    'shop.loyalty.partition.1.dead',
    'shop.loyalty.offset.dead',
    'shop.loyalty.1',
    'a.shop.loyalty',
    '',
  ])
    expect(may(read, other)).toBe(false);
  expect(['events', 'failed_events'].every((name) => may(write, name))).toBe(true);
  for (const other of ['', 'amq.default', 'shop.payment', 'events2', 'my.events'])
    expect(may(write, other)).toBe(false);
  expect(may(permissionOf('shop.loyalty', exchanges, true).write, 'amq.default')).toBe(true);
  expect(may(configure, 'x')).toBe(false);
});

test('what is other about a user than it should be is told', () => {
  const credentials = { user: newUserName(of), password: newPassword() };
  const wanted = permissionOf('shop.loyalty', exchanges, false);
  const user: UserFound = {
    name: credentials.user,
    passwordHash: hashPassword(credentials.password),
    algorithm: 'rabbit_password_hashing_sha256',
    tags: ['warren'],
  };
  const topic = { exchange: 'events', write: '^order\\.placed$', read: '^$' };
  const trouble = (
    there: UserFound | undefined,
    permission = wanted,
    topics: (typeof topic)[] = [],
    rights: Rights = wanted,
  ) =>
    troubleWith(credentials, rights, {
      users: new Map(there === undefined ? [] : [[there.name, there]]),
      permissions: new Map([[credentials.user, permission]]),
      topics: new Map([[credentials.user, topics]]),
    });
  expect(trouble(user)).toBeUndefined();
  expect(trouble(undefined)).toBe('missing');
  expect(trouble({ ...user, passwordHash: hashPassword('another') })).toBe('password');
  expect(trouble({ ...user, passwordHash: '' })).toBe('password');
  expect(trouble({ ...user, tags: ['warren', 'administrator'] })).toBe('tags');
  expect(trouble(user, { ...wanted, read: '.*' })).toBe('permission');
  expect(trouble(user, wanted, [topic])).toBe('topic');
  expect(trouble(user, wanted, [], { ...wanted, topic })).toBe('topic');
  expect(trouble(user, wanted, [{ ...topic, write: '.*' }], { ...wanted, topic })).toBe('topic');
  expect(trouble(user, wanted, [{ ...topic, exchange: 'x' }, topic], { ...wanted, topic })).toBeUndefined();
  // Of a way of hashing that we do not know nothing can be said.
  expect(hasPassword({ ...user, algorithm: 'other' }, 'x')).toBeUndefined();
  expect(trouble({ ...user, algorithm: 'other' })).toBeUndefined();
});

test('credentials are due when somebody asks for others, or when they are too old, and not all at once', () => {
  const resource = { metadata: { name: 'loyalty', namespace: 'shop' }, spec: plainSpec };
  const asking = {
    ...resource,
    metadata: { ...resource.metadata, annotations: { 'warren.events/rotate': 'b' } },
  };
  const made = Date.parse('2026-01-01T00:00:00Z');
  const binding = { 'credentials-made': new Date(made).toISOString(), 'credentials-rotation': 'a' };
  const day = 86_400_000;
  const due = (suffix: string, days: number, maxAge?: string) =>
    isDue(
      resource,
      binding,
      { user: `shop.loyalty@orders#000000${suffix}`, password: 'x' },
      { mode: 'PerSubscription', ...(maxAge === undefined ? {} : { maxAge }) },
      made + days * day,
    );
  expect(due('00', 10_000)).toBe(false);
  expect(due('00', 8, '10d')).toBe(false);
  expect(due('00', 9.1, '10d')).toBe(true);
  expect(due('ff', 9.1, '10d')).toBe(false);
  expect(due('ff', 10, '10d')).toBe(true);
  const policy = { mode: 'PerSubscription' } as const;
  const credentials = { user: newUserName(of), password: 'x' };
  expect(isDue(asking, binding, credentials, policy)).toBe(true);
  expect(isDue(asking, { ...binding, 'credentials-rotation': 'b' }, credentials, policy)).toBe(false);
});
