import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isEventTypeName, routingKeyOf } from './routing-key.ts';

describe('the routing key of an event type', () => {
  test.each([
    ['OrderPlaced', 'order.placed'],
    ['UserEmailChanged', 'user.email-changed'],
    ['PaymentV2Approved', 'payment.v2-approved'],
  ])('%s is %s', (type, key) => {
    expect(routingKeyOf(type)).toBe(key);
  });

  test.each([
    '',
    'Order',
    'orderPlaced',
    'Order_Placed',
    'order.placed',
    'OrderPlacéd',
    ' OrderPlaced',
    'A'.repeat(101),
  ])('refuses %p with a sentence that shows a right name', (name) => {
    expect(isEventTypeName(name)).toBe(false);
    expect(() => routingKeyOf(name)).toThrow(/such as OrderPlaced/);
  });

  const word = fc.stringMatching(/^[A-Z][a-z0-9]{0,8}$/);
  const name = fc.array(word, { minLength: 2, maxLength: 5 }).map((words) => words.join(''));

  test('always has two words, so that `order.*` means every event of an order', () => {
    fc.assert(fc.property(name, (type) => expect(routingKeyOf(type)).toMatch(/^[a-z0-9]+\.[a-z0-9-]+$/)));
  });

  test('differs for different names', () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        fc.pre(a !== b);
        expect(routingKeyOf(a)).not.toBe(routingKeyOf(b));
      }),
    );
  });
});
