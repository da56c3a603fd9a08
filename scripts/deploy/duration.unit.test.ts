import { expect, test } from '@jest/globals';
import { durationMs } from './duration.ts';

test.each([
  ['10m', 600_000],
  ['1.5h', 5_400_000],
  ['1m05s', 65_000],
  ['1h30m500ms', 5_400_500],
  ['10', Number.NaN],
  ['', Number.NaN],
  ['10 minutes', Number.NaN],
])('a duration for helm: "%s"', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});
