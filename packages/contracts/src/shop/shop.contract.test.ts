import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEvent, encodeEvent } from '../cloudevents.ts';
import type { Event } from '../event.ts';
import { renderEventsReference } from '../events-reference.ts';
import { shopCatalogue } from './index.ts';

/**
 * golden/<Type>.v<n>.json: an event as it lies in databases since that version was published, and its data as it
 * must be read today. Files are added, never edited: what they hold is already stored somewhere.
 */
const golden = join(import.meta.dirname, '../../golden');
const published = shopCatalogue.types().flatMap((type) =>
  [...type.versions].map(([version, { example }]) => ({
    name: `${type.type}.v${version}`,
    example,
    type,
    version,
  })),
);

describe('every version that was ever published', () => {
  test('is still in the catalogue, and has its stored example', () => {
    const stored = readdirSync(golden).map((file) => file.replace(/\.json$/, ''));
    expect(published.map(({ name }) => name).sort()).toEqual(stored.sort());
  });

  test.each(published)('$name is read as it must be today', ({ name, type, version }) => {
    const file = JSON.parse(readFileSync(join(golden, `${name}.json`), 'utf8')) as {
      stored: Event;
      read: unknown;
    };
    expect(file.stored).toMatchObject({ type: type.type, schemaVersion: version });
    const read = shopCatalogue.upcast(shopCatalogue.validate(file.stored));
    expect(read.data).toEqual(file.read);
    expect(shopCatalogue.validate(read)).toBe(read);
  });

  test.each(published)('$name survives the wire', ({ name }) => {
    const { stored } = JSON.parse(readFileSync(join(golden, `${name}.json`), 'utf8')) as { stored: Event };
    expect(decodeEvent(encodeEvent(stored))).toEqual(stored);
  });

  test.each(published)(
    '$name is open: a field that a newer producer adds anywhere is kept',
    ({ type, version, example }) => {
      const data = withNewFields(example);
      const schema = type.versions.get(version)!.schema;
      expect(schema.parse(data)).toEqual(data);
    },
  );
});

test('docs/reference/events.md is what the catalogue says (`npm run docs` writes it)', () => {
  const page = join(import.meta.dirname, '../../../../docs/reference/events.md');
  expect(readFileSync(page, 'utf8')).toBe(renderEventsReference(shopCatalogue));
});

test('every datum that a version allows is lifted to one that the newest version allows', () => {
  for (const { type, version, example } of published) {
    const { schema } = type.versions.get(version)!;
    const event = JSON.parse(readFileSync(join(golden, `${type.type}.v${version}.json`), 'utf8')) as {
      stored: Event;
    };
    fc.assert(
      fc.property(likeness(example), (data) => {
        fc.pre(schema.safeParse(data).success);
        const lifted = shopCatalogue.upcast({ ...event.stored, data });
        expect(shopCatalogue.validate(lifted).schemaVersion).toBe(type.newest);
        expect(shopCatalogue.upcast(lifted)).toBe(lifted);
      }),
      { numRuns: 50 },
    );
  }
});

/** Values of the same shape: other texts and numbers, longer and shorter lists, and fields that nobody knows yet. */
function likeness(example: unknown): fc.Arbitrary<unknown> {
  if (typeof example === 'number')
    return fc.oneof(
      fc.constant(example),
      fc.nat(10_000),
      fc.nat(1_000_000).map((cents) => cents / 100),
    );
  if (typeof example === 'string')
    return fc.oneof(fc.constant(example), fc.string({ minLength: 1, maxLength: 20 }));
  if (Array.isArray(example))
    return fc.array(fc.oneof(...example.map(likeness)), { minLength: 1, maxLength: 5 });
  if (typeof example !== 'object' || example === null) return fc.constant(example);
  const known = fc.record(
    Object.fromEntries(Object.entries(example).map(([name, value]) => [name, likeness(value)])),
  );
  const unknown = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { maxKeys: 2 });
  return fc.tuple(known, unknown).map(([fields, others]) => ({ ...others, ...fields }));
}

/** Adds a field to the object and to every object in it. */
function withNewFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withNewFields);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, withNewFields(field)]);
  return { ...Object.fromEntries(fields), addedLater: { by: 'a newer producer' } };
}
