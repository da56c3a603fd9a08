import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keysPattern, publisherRights } from './rights.ts';

const exchanges = { events: 'my.events', failedEvents: 'failed_events' };

/** What a topic exchange does. */
function takes([first, ...rest]: readonly string[], key: readonly string[]): boolean {
  if (first === undefined) return key.length === 0;
  if (first === '#') return takes(rest, key) || (key.length > 0 && takes([first, ...rest], key.slice(1)));
  return key.length > 0 && (first === '*' || first === key[0]) && takes(rest, key.slice(1));
}

test('a user may publish the keys that a topic exchange would take for its events, and no other', () => {
  const word = fc.constantFrom('a', 'b', 'order');
  const pattern = fc
    .array(fc.oneof(word, fc.constantFrom('*', '#')), { minLength: 1, maxLength: 5 })
    .filter((words) => words.filter((one, at) => one === '#' && words[at - 1] !== '#').length <= 2);
  const key = fc.array(word, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 3 }), key, (patterns, words) => {
      const expression = keysPattern(patterns.map((one) => one.join('.')));
      expect(new RegExp(expression).test(words.join('.'))).toBe(patterns.some((one) => takes(one, words)));
    }),
  );
  for (const other of ['order.placed.x', 'xorder.placed', 'order-placed', '.order.placed', 'order.placed.'])
    expect(new RegExp(keysPattern(['order.placed', '#.order.placed'])).test(other)).toBe(false);
});

test('no pattern lets the broker try for long whether a key is one of it', () => {
  expect(keysPattern(['#.#.order.#.#.#', '#.order.#'])).toBe(keysPattern(['#.order.#']));
  const many = Array.from({ length: 12 }, () => '#').join('.a.');
  const pattern = keysPattern([many, 'order.placed']);
  expect(pattern).toBe('^(order\\.placed)$');
  // The longest that AMQP knows.
  const key = `${'a.'.repeat(127)}b`;
  const worst = new RegExp(keysPattern(['#.a.#.c', '#.a.a.#.a.c', '*.#.a.*.#.c', '#.#.#.#.#.c']));
  const began = performance.now();
  expect(worst.test(key)).toBe(false);
  expect(performance.now() - began).toBeLessThan(500);
});

test('it writes the exchange of all events and nothing else; its events say which keys', () => {
  const all = publisherRights({}, exchanges);
  expect(all).toEqual({ configure: '^$', read: '^$', write: '^(my\\.events)$' });
  expect(publisherRights({ events: ['OrderPlaced', '#'] }, exchanges)).toEqual(all);
  expect(publisherRights({ events: ['UserCreated', 'payment.*'] }, exchanges).topic).toEqual({
    exchange: 'my.events',
    read: '^$',
    write: '^(payment\\.[^.]+|user\\.created)$',
  });
});
