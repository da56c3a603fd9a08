import { expect, jest, test } from '@jest/globals';
import type { ObjectStep } from '@warren/topology';
import { Tidying } from './tidying.ts';

const AFTER_MS = 180_000;

function setup() {
  jest.useFakeTimers();
  const tidying = new Tidying(AFTER_MS);
  return {
    tidying,
    /** The queues that a reconcile deletes in which so many are not needed. */
    deleted: (unneeded: string[], subscription = 'shop/loyalty') => {
      const steps = unneeded.map((queue): ObjectStep => ({ step: 'deleteQueue', queue, onlyIfEmpty: true }));
      return tidying.ripe(subscription, steps).map((step) => step.step === 'deleteQueue' && step.queue);
    },
    pass: (ms: number) => jest.advanceTimersByTime(ms),
    [Symbol.dispose]: () => jest.useRealTimers(),
  };
}

const wait = 'shop.loyalty.wait.1000';

test('a wait queue goes when it has not been needed for long enough, and every other step at once', () => {
  using t = setup();
  expect(t.deleted([wait])).toEqual([]);
  t.pass(AFTER_MS - 1);
  expect(t.deleted([wait, 'shop.loyalty.wait.2000'])).toEqual([]);
  t.pass(1);
  expect(t.deleted([wait, 'shop.loyalty.wait.2000'])).toEqual([wait]);
  const exchange = { name: 'events', type: 'topic', durable: true, autoDelete: false, arguments: {} };
  const declaring: ObjectStep = { step: 'declareExchange', exchange };
  expect(t.tidying.ripe('shop/loyalty', [declaring])).toEqual([declaring]);
});

test('one that is needed in between, or holds messages, has its whole time again', () => {
  using t = setup();
  expect(t.deleted([wait])).toEqual([]);
  t.pass(60_000);
  expect(t.deleted([])).toEqual([]);
  t.pass(3_600_000);
  // Its consumers have had the settings that need it until now.
  expect(t.deleted([wait])).toEqual([]);
  t.pass(AFTER_MS);
  expect(t.deleted([wait])).toEqual([wait]);
});

test('a subscription that is gone leaves no time behind to one of its name, nor does another one take it', () => {
  using t = setup();
  expect(t.deleted([wait])).toEqual([]);
  expect(t.deleted([], 'shop/payment')).toEqual([]);
  t.pass(AFTER_MS);
  t.tidying.forget('shop/loyalty');
  expect(t.deleted([wait])).toEqual([]);
});
