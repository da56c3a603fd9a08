import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isSameBinding, plain } from './bindings.ts';
import { canonical, isSameValue } from './canonical.ts';
import type { Binding } from './objects.ts';

test('two values are the same exactly where they have the same text', () => {
  const value = fc.jsonValue({ maxDepth: 2 });
  const pair = fc.oneof(
    fc.tuple(value, value),
    value.map((one) => [one, structuredClone(one)] as const),
  );
  fc.assert(fc.property(pair, ([a, b]) => isSameValue(a, b) === (canonical(a) === canonical(b))));
  expect(isSameValue({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 })).toBe(true);
  expect([isSameValue(undefined, undefined), isSameValue(undefined, null)]).toEqual([true, false]);
});

test('two bindings are the same where all of them is, but for what the broker adds', () => {
  const binding: Binding = {
    source: 'events',
    destination: 'shop.loyalty',
    destinationType: 'queue',
    routingKey: 'order.placed',
    arguments: { weight: 1 },
  };
  expect(isSameBinding(binding, { ...binding, arguments: { weight: 1 } })).toBe(true);
  const found = { ...binding, propertiesKey: 'order.placed~hash' };
  expect(isSameBinding(found, binding)).toBe(true);
  expect(plain(found)).toEqual(binding);
  const others: Partial<Binding>[] = [
    { source: 'legacy' },
    { destination: 'shop.points' },
    { destinationType: 'exchange' },
    { routingKey: 'order.*' },
    { arguments: {} },
  ];
  for (const other of others) expect(isSameBinding(binding, { ...binding, ...other })).toBe(false);
});
