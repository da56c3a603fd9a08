import { expect, test } from '@jest/globals';
import { HeldBack } from './held-back.ts';

test('a message that is done with begins anew with its attempts, should it come once more', () => {
  const held = new HeldBack();
  held.failed('orders 1', 4, 60_000);
  expect([held.attemptOf('orders 1'), held.waitMs('orders 1') > 0]).toEqual([5, true]);
  held.forget('payments 1');
  expect(held.attemptOf('orders 1')).toBe(5);
  held.forget('orders 1');
  expect([held.attemptOf('orders 1'), held.waitMs('orders 1')]).toEqual([1, 0]);
});
