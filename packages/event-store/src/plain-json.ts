/**
 * What JSON makes of a value: no dates, no undefined, nothing that the wire or another database would change.
 *
 * The same as `JSON.parse(JSON.stringify(value))`, which is what it does with anything unusual; data that is plain
 * already, as nearly all is, is copied without the way through text, in half of the time.
 */

/** @throws {TypeError} what cannot be written as JSON: a circle, a bigint, undefined itself. */
export function plainJson(value: unknown): unknown {
  const copied = copy(value, 0);
  if (copied !== UNUSUAL) return copied;
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError('there is no JSON for it');
  return JSON.parse(text);
}

const UNUSUAL = Symbol('unusual');
/** Deeper than any data of ours; also how a circle is noticed. */
const MAX_DEPTH = 50;

function copy(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : UNUSUAL;
    case 'object':
      if (value === null) return null;
      if (depth > MAX_DEPTH) return UNUSUAL;
      return Array.isArray(value) ? copyArray(value, depth) : copyObject(value, depth);
    default:
      return UNUSUAL;
  }
}

function copyArray(array: readonly unknown[], depth: number): unknown {
  if ('toJSON' in array) return UNUSUAL;
  const result: unknown[] = [];
  for (const element of array) {
    const copied = copy(element, depth + 1);
    if (copied === UNUSUAL) return UNUSUAL;
    result.push(copied);
  }
  return result;
}

function copyObject(object: object, depth: number): unknown {
  if (Object.getPrototypeOf(object) !== Object.prototype || 'toJSON' in object) return UNUSUAL;
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(object)) {
    if (key === '__proto__') return UNUSUAL;
    const copied = copy((object as Record<string, unknown>)[key], depth + 1);
    if (copied === UNUSUAL) return UNUSUAL;
    result[key] = copied;
  }
  return result;
}
