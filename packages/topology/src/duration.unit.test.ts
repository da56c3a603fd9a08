import { describe, expect, test } from '@jest/globals';
import { parseDuration } from './duration.ts';

describe('a duration', () => {
  test.each([
    ['500ms', 500],
    ['1s', 1_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['14d', 1_209_600_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '1', 's', '-1s', '1.5s', '1S', '1 s', '01s', '1w', '1s2m', 'P1D', '1e3s'])(
    'refuses %p with a sentence that shows what to write',
    (text) => {
      expect(() => parseDuration(text)).toThrow(
        /write a whole number with ms, s, m, h or d, such as 500ms or 14d/,
      );
    },
  );
});
