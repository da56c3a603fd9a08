import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
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

/** Adds a field to the object and to every object in it. */
function withNewFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withNewFields);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, withNewFields(field)]);
  return { ...Object.fromEntries(fields), addedLater: { by: 'a newer producer' } };
}
