import { describe, expect, test } from '@jest/globals';
import { OrderCancelled, OrderCompleted, OrderPlaced } from '@warren/contracts';
import { RetryLaterError } from '@warren/service';
import { asEvent, given } from '@warren/service/testing';
import { evolveOrder, orderDecider } from './order.ts';

const lines = [
  { sku: 'tea', quantity: 3, unitPrice: 0.1 },
  { sku: 'cup', quantity: 1, unitPrice: 4.99 },
];
const place = { kind: 'place' as const, orderId: 'order-1', userId: 'user-1', lines, currency: 'EUR' };
const placed = OrderPlaced.create({
  orderId: 'order-1',
  userId: 'user-1',
  lines,
  total: 5.29,
  currency: 'EUR',
});
const completed = OrderCompleted.create({
  orderId: 'order-1',
  userId: 'user-1',
  total: 5.29,
  paymentId: 'payment-1',
});
const cancelled = OrderCancelled.create({
  orderId: 'order-1',
  userId: 'user-1',
  total: 5.29,
  reason: 'declined',
});
const complete = { kind: 'complete' as const, paymentId: 'payment-1' };
const cancel = { kind: 'cancel' as const, reason: 'declined' };

describe('an order', () => {
  test('is placed with a total that is counted in cents', () => {
    given(orderDecider).when(place).then(placed);
  });

  test('is placed once, however often it is asked for', () => {
    given(orderDecider, placed).when(place).then();
    given(orderDecider, placed, completed).when(place).then();
  });

  test('is completed when it is paid', () => {
    given(orderDecider, placed).when(complete).then(completed);
  });

  test('is cancelled when it is not paid', () => {
    given(orderDecider, placed).when(cancel).then(cancelled);
  });

  test('that is closed stays as it is when the same comes again', () => {
    given(orderDecider, placed, completed).when(complete).then();
    given(orderDecider, placed, cancelled).when(cancel).then();
  });

  test('that is closed refuses the opposite', () => {
    given(orderDecider, placed, completed).when(cancel).refused('order-closed');
    given(orderDecider, placed, cancelled).when(complete).refused('order-closed');
  });

  test('that nobody placed cannot be closed yet', () => {
    for (const command of [complete, cancel]) {
      expect(() => given(orderDecider).when(command).state()).toThrow(RetryLaterError);
    }
  });

  test('knows its payment, or why there is none', () => {
    expect(given(orderDecider, placed).when(complete).state()).toMatchObject({
      status: 'completed',
      paymentId: 'payment-1',
    });
    expect(given(orderDecider, placed).when(cancel).state()).toMatchObject({
      status: 'cancelled',
      reason: 'declined',
    });
  });

  test('ignores events that are not its own', () => {
    const other = asEvent({ type: 'SomethingElse', data: {} });
    expect(evolveOrder(undefined, other)).toBeUndefined();
  });
});
