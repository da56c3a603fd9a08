import { expect, test } from '@jest/globals';
import { retryAfterMs } from './retry-after.ts';

const now = Date.parse('2026-11-25T12:00:00Z');

test.each([
  ['3', 3_000],
  ['0', 0],
  [' 2 ', 2_000],
  ['Wed, 25 Nov 2026 12:00:05 GMT', 5_000],
  ['Wed, 25 Nov 2026 11:00:00 GMT', 0],
  // Nobody is to be sent to sleep for good.
  ['99999999999999999999', 60_000],
  ['Wed, 25 Nov 2099 12:00:00 GMT', 60_000],
  ['-5', 0],
  ['soon', 0],
  ['', 0],
  [undefined, 0],
])('Retry-After %j is a wait of %i ms', (header, ms) => {
  expect(retryAfterMs(header, now)).toBe(ms);
});
