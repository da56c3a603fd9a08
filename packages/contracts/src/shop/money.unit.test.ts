import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { amount } from './fields.ts';
import { fromCents, toCents, totalOf } from './money.ts';

const cents = fc.integer({ min: 0, max: 100_000_000_00 });

describe('money', () => {
  test('survives the way to cents and back, and is an amount that events may carry', () => {
    fc.assert(
      fc.property(cents, (value) => {
        expect(toCents(fromCents(value))).toBe(value);
        expect(amount('').safeParse(fromCents(value)).success).toBe(true);
      }),
    );
  });

  test.each([0.001, 12.345, -1, Number.NaN, Infinity])('%p is no amount', (value) => {
    expect(amount('').safeParse(value).success).toBe(false);
  });

  test('adds up without the errors of binary fractions', () => {
    expect(totalOf([{ quantity: 3, unitPrice: 0.1 }])).toBe(0.3);
    expect(
      totalOf([
        { quantity: 1, unitPrice: 0.1 },
        { quantity: 1, unitPrice: 0.2 },
      ]),
    ).toBe(0.3);
  });
});
