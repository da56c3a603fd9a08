import { expect, test } from '@jest/globals';
import type { SubscriptionResource } from '../resources.ts';
import { subscriptionOf } from '../testing/takeover-resources.ts';
import { keyOfBound } from './claims.ts';
import { othersIn } from './others.ts';

const OLD = 'shop/loyalty';
const NEW = 'crm/points';

const taking = (key: string, from: string) =>
  subscriptionOf(
    key,
    {},
    { status: { migration: { queue: from.replace('/', '.'), from, to: key, phase: 'Draining', moved: 0 } } },
  );

function collection(...items: SubscriptionResource[]) {
  const all = new Map(items.map((one) => [keyOfBound(one), one]));
  const listeners: ((key: string) => void)[] = [];
  return {
    get: (key: string) => all.get(key),
    list: () => [...all.values()],
    onChange: (listener: (key: string) => void) => void listeners.push(listener),
    put: (one: SubscriptionResource) => {
      all.set(keyOfBound(one), one);
      for (const listener of listeners) listener(keyOfBound(one));
    },
    remove: (key: string) => {
      all.delete(key);
      for (const listener of listeners) listener(key);
    },
  };
}

test('who has begun to take over is known from the beginning on, and as it changes', () => {
  const subscriptions = collection(taking(NEW, OLD));
  const takersOf = (key: string) => othersIn(subscriptions).takersOf(key).map(keyOfBound);
  expect(takersOf(OLD)).toEqual([NEW]);
  subscriptions.put(taking('crm/other', OLD));
  expect(takersOf(OLD)).toEqual([NEW, 'crm/other']);
  subscriptions.put(taking(NEW, 'shop/payment'));
  expect(takersOf(OLD)).toEqual(['crm/other']);
  expect(takersOf('shop/payment')).toEqual([NEW]);
  subscriptions.remove('crm/other');
  subscriptions.put(subscriptionOf(NEW));
  expect([...takersOf(OLD), ...takersOf('shop/payment')]).toEqual([]);
});

test('who makes a queue of its own anew takes over from nobody', () => {
  const migration = {
    queue: 'crm.points',
    from: 'type classic',
    to: 'type quorum',
    phase: 'Draining',
    moved: 0,
  };
  const subscriptions = collection(subscriptionOf(NEW, {}, { status: { migration } }));
  expect(othersIn(subscriptions).takersOf(NEW)).toEqual([]);
});
