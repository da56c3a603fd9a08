import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { plainJson } from './plain-json.ts';

const anything = fc.anything({
  withDate: true,
  withNullPrototype: true,
  withSparseArray: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withBoxedValues: true,
  withObjectString: true,
});

test('any value becomes what JSON makes of it, or is refused where JSON has nothing for it', () => {
  fc.assert(
    fc.property(fc.oneof(anything, fc.jsonValue()), (value) => {
      let text: string | undefined;
      try {
        text = JSON.stringify(value);
      } catch {
        // refused
      }
      if (text === undefined) expect(() => plainJson(value)).toThrow();
      else {
        const plain = plainJson(value);
        expect(JSON.stringify(plain)).toBe(JSON.stringify(JSON.parse(text)));
        expect(plain).toStrictEqual(JSON.parse(text));
      }
    }),
    { numRuns: 2000 },
  );
});

test('what is unusual is written as JSON writes it', () => {
  const toJSON = () => 'written';
  const own = Object.assign(Object.create({ inherited: 1 }) as object, { own: 1 });
  const values = [
    -0,
    NaN,
    [undefined, () => 1, Symbol('s')],
    { gone: undefined, stays: null },
    new Date(0),
    { toJSON },
    Object.assign([1], { toJSON }),
    own,
    JSON.parse('{"__proto__": 1, "constructor": 2}'),
  ];
  for (const value of values) expect(plainJson(value)).toStrictEqual(JSON.parse(JSON.stringify(value)));
});

test('a circle and a bigint are refused', () => {
  const circle: unknown[] = [];
  circle.push(circle);
  expect(() => plainJson(circle)).toThrow();
  expect(() => plainJson({ big: 1n })).toThrow();
});

test('the copy is a copy, also when it is deep', () => {
  const inner = { a: 1 };
  const value = { inner, list: [inner] };
  const plain = plainJson(value) as typeof value;
  inner.a = 2;
  expect(plain).toStrictEqual({ inner: { a: 1 }, list: [{ a: 1 }] });
  let deep: unknown = 1;
  for (let depth = 0; depth < 1000; depth++) deep = [deep];
  expect(plainJson(deep)).toStrictEqual(deep);
});
