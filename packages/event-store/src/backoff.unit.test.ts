import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { backoffMs, within } from './backoff.ts';

test('a delay doubles with each failure up to the most, and is spread over its upper half', () => {
  const limits = { initialMs: 10, maxMs: 100 };
  const spread = (failures: number) => [0, 1].map((random) => backoffMs(failures, limits, () => random));
  expect([1, 2, 3, 4, 5].map(spread)).toEqual([
    [5, 10],
    [10, 20],
    [20, 40],
    [40, 80],
    [50, 100],
  ]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), (failures) => {
      const delay = backoffMs(failures, limits);
      return delay >= 5 && delay <= 100;
    }),
  );
});

test('within tells whether something came in time, also when it failed', async () => {
  expect(await within(60_000, Promise.resolve())).toBe(true);
  expect(await within(60_000, Promise.reject(new Error('no')))).toBe(true);
  expect(await within(1, new Promise(() => undefined))).toBe(false);
  expect(await within(60_000, new Promise(() => undefined), AbortSignal.abort())).toBe(false);
});
