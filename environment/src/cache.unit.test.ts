import { describe, expect, test } from '@jest/globals';
import { cacheDir, cacheKey } from './cache.ts';

describe('a cache key', () => {
  test('follows from every input, from their order and from where one ends', () => {
    expect(cacheKey('a', 'b')).toBe(cacheKey('a', 'b'));
    const keys = [
      cacheKey('a', 'b'),
      cacheKey('b', 'a'),
      cacheKey('ab'),
      cacheKey('ab', ''),
      cacheKey('a', 'c'),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('can be part of a file name', () => {
    expect(cacheKey('../evil name')).toMatch(/^[0-9a-f]{12}$/);
  });
});

test('the cache is where a variable says, else one place for all clones of the user', () => {
  expect(cacheDir({ WARREN_CACHE_DIR: '/big/disk', XDG_CACHE_HOME: '/x' })).toBe('/big/disk');
  expect(cacheDir({ XDG_CACHE_HOME: '/x' })).toBe('/x/warren');
  expect(cacheDir({})).toMatch(/\/\.cache\/warren$/);
});
