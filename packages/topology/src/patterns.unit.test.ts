import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matcherOf, waysOf } from './patterns.ts';

const long = `${'a'.repeat(59)}b`;

describe('a pattern of somebody else', () => {
  test.each([
    '.*',
    '^shop',
    'loyalty$',
    '^shop\\.[^.]+$',
    '^(?!amq\\.).*',
    '.*loyal.*',
    '^[a-z]+\\.[a-z]+y$',
    '^(shop|billing)\\..+$',
    `^(${Array.from({ length: 60 }, (_, index) => `shop\\.${index}`).join('|')}|shop\\.loyalty)$`,
    '^[(+*)a-z|]+\\.(?<what>loyal)ty$',
    '^shop\\.(.*)$|^nothing$',
    '^sh{0,1}op(\\.x)*',
  ])('is read: %s', (pattern) => {
    expect(matcherOf(pattern)('shop.loyalty')).toBe(true);
  });

  test.each([
    '^([a-z0-9-]+)+!$',
    '^(a|a)*!$',
    '^(a?){60}!$',
    '^(([a-z])+.)+!$',
    `^${'a?'.repeat(60)}${'a'.repeat(60)}!$`,
    `^${'(a|a)'.repeat(59)}!$`,
    '.*.*.*!',
    '^.*a.*a.*a.*a.*!$',
    '^(?:a*)*?!$',
    '^(?=(a+))*\\1+!$',
    '^(a+)\\1\\1\\1!$',
    'x)(a+)+!',
    'x)',
  ])('is not tried where that would take too long: %s', (pattern) => {
    expect(matcherOf(pattern)(long)).toBe(false);
    expect(waysOf(pattern)).toBeGreaterThan(1_000_000);
  });

  test('that cannot be read matches nothing', () => {
    expect(matcherOf('(?i)shop(*FAIL)')('shop.loyalty')).toBe(false);
    expect(matcherOf('(')('shop.loyalty')).toBe(false);
  });

  test('takes no time to speak of, whatever it is', () => {
    const part = fc.constantFrom(
      ...['a', '.', '[a-b]', '\\w', '(', '(?:', '(?!', ')', '|', '*', '+', '?', '{1,9}', '{2}', '*?', '\\1'],
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 14 }), (parts) => {
        const matches = matcherOf(`^${parts.join('')}!$`);
        const begun = performance.now();
        matches(long);
        expect(performance.now() - begun).toBeLessThan(500);
      }),
      { numRuns: 2_000 },
    );
  });
});
