import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { createCatalogue } from './catalogue.ts';
import type { AnyEventType } from './catalogue.ts';
import { CatalogueError, ContractError } from './errors.ts';
import { defineEvent } from './event-type.ts';
import type { DataOf } from './event-type.ts';
import type { Event } from './event.ts';

const v1 = z.looseObject({ name: z.string() });
const v2 = z.looseObject({ first: z.string(), last: z.string() });
const v3 = z.looseObject({ first: z.string(), last: z.string(), known: z.boolean() });

const PersonNamed = defineEvent({
  type: 'PersonNamed',
  owner: 'people',
  description: 'Somebody has a name.',
  versions: {
    1: { schema: v1, example: { name: 'Ada Lovelace' } },
    2: { schema: v2, example: { first: 'Ada', last: 'Lovelace' } },
    3: { schema: v3, example: { first: 'Ada', last: 'Lovelace', known: true } },
  },
  upcasters: {
    1: ({ name }) => ({ first: name.split(' ')[0] ?? '', last: name.split(' ').slice(1).join(' ') }),
    2: (data) => ({ ...data, known: true }),
  },
});
const catalogue = createCatalogue([PersonNamed]);

const event = (data: unknown, schemaVersion = 3, type = 'PersonNamed'): Event => ({
  id: 'e1',
  type,
  schemaVersion,
  aggregateId: 'a1',
  version: 1,
  timestamp: '2026-01-31T12:00:00.000Z',
  source: 'people',
  data,
  correlationId: 'c1',
});

function failure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}

describe('an event type', () => {
  test('creates events of its newest version, typed by its newest schema', () => {
    const data: DataOf<typeof PersonNamed> = { first: 'Ada', last: 'Lovelace', known: true };
    expect(PersonNamed.create(data)).toEqual({ type: 'PersonNamed', schemaVersion: 3, data });
    // @ts-expect-error -- version 1 is not what is published now
    PersonNamed.create({ name: 'Ada' });
  });

  test('recognises its events once they are upcast', () => {
    const stored = event({ name: 'Ada Lovelace' }, 1);
    expect(PersonNamed.is(stored)).toBe(false);
    expect(PersonNamed.is(catalogue.upcast(stored))).toBe(true);
  });
});

describe('validate', () => {
  test('accepts each stored version by its own schema', () => {
    const old = event({ name: 'Ada' }, 1);
    expect(catalogue.validate(old)).toBe(old);
  });

  test('keeps fields that it does not know, so that a newer producer breaks no older consumer', () => {
    const data = { first: 'A', last: 'B', known: false, added: [1] };
    expect(catalogue.validate(event(data)).data).toEqual(data);
  });

  test('names the field that breaks the contract', () => {
    const error = failure(() => catalogue.validate(event({ first: 'Ada', last: 7, known: true })));
    expect(error).toBeInstanceOf(ContractError);
    expect(error).toMatchObject({
      code: 'WARREN_CONTRACT_VIOLATION',
      permanent: true,
      issues: [{ field: 'last' }],
    });
    expect(String(error)).toContain('PersonNamed version 3: last: ');
  });

  test.each([
    ['a type', event({}, 1, 'DogNamed'), '"DogNamed" is not an event type'],
    ['a newer version', event({}, 4), 'no version 4 here, the newest is 3'],
  ])('says that it does not know %s', (_, unknown, sentence) => {
    for (const run of [() => catalogue.validate(unknown), () => catalogue.upcast(unknown)]) {
      expect(failure(run)).toMatchObject({
        code: 'WARREN_UNKNOWN_EVENT',
        message: expect.stringContaining(sentence),
      });
    }
  });
});

describe('upcast', () => {
  test('lifts every stored version to the newest, and changes nothing but data and schemaVersion', () => {
    const stored = event({ name: 'Ada Lovelace' }, 1);
    expect(catalogue.upcast(stored)).toEqual(event({ first: 'Ada', last: 'Lovelace', known: true }, 3));
    expect(stored).toEqual(event({ name: 'Ada Lovelace' }, 1));
  });

  test('is the identity on the newest version', () => {
    const newest = event({ first: 'A', last: 'B', known: true });
    expect(catalogue.upcast(newest)).toBe(newest);
  });

  test('of any valid event is valid, and upcasting twice is upcasting once', () => {
    const stored = fc.oneof(
      fc.record({ name: fc.string() }).map((data) => event(data, 1)),
      fc.record({ first: fc.string(), last: fc.string() }).map((data) => event(data, 2)),
    );
    fc.assert(
      fc.property(stored, (old) => {
        const lifted = catalogue.upcast(catalogue.validate(old));
        expect(catalogue.validate(lifted)).toBe(lifted);
        expect(catalogue.upcast(lifted)).toBe(lifted);
      }),
    );
  });

  test('reports an upcaster that fails on stored data as a contract violation', () => {
    expect(failure(() => catalogue.upcast(event({ nom: 'Ada' }, 1)))).toMatchObject({
      code: 'WARREN_CONTRACT_VIOLATION',
    });
  });
});

describe('a catalogue is refused when', () => {
  const base = { owner: 'people', description: 'Somebody has a name.' };
  const one = { schema: v1, example: { name: 'Ada' } };
  const two = { schema: v2, example: { first: 'Ada', last: 'L' } };

  const mistakes: [string, AnyEventType[], RegExp][] = [
    ['a type is defined twice', [PersonNamed, PersonNamed], /defined twice/],
    [
      'a name is no event type',
      [defineEvent({ ...base, type: 'named', versions: { 1: one } })],
      /PascalCase/,
    ],
    [
      'a type has no version',
      [defineEvent({ ...base, type: 'PersonNamed', versions: {} })],
      /has no version/,
    ],
    [
      'a version is missing',
      [defineEvent({ ...base, type: 'PersonNamed', versions: { 2: two } })],
      /without a gap/,
    ],
    [
      'a version has no upcaster',
      [defineEvent({ ...base, type: 'PersonNamed', versions: { 1: one, 2: two } })],
      /version 1 has no upcaster to 2/,
    ],
    [
      'an upcaster leads nowhere',
      [defineEvent({ ...base, type: 'PersonNamed', versions: { 1: one }, upcasters: { 1: (data) => data } })],
      /the upcaster from 1 leads to no version/,
    ],
    [
      'an upcaster makes something else',
      [
        defineEvent({
          ...base,
          type: 'PersonNamed',
          versions: { 1: one, 2: two },
          upcasters: { 1: () => ({ first: 1 }) },
        }),
      ],
      /makes no version 2 of the example of version 1: first: .*last: /,
    ],
    [
      'an upcaster throws',
      [
        defineEvent({
          ...base,
          type: 'PersonNamed',
          versions: { 1: one, 2: two },
          upcasters: {
            1: () => {
              throw new Error('boom');
            },
          },
        }),
      ],
      /the upcaster from 1 throws .*boom/,
    ],
    [
      'an example breaks its schema',
      [
        defineEvent({
          ...base,
          type: 'PersonNamed',
          versions: { 1: { schema: z.looseObject({ a: z.string().min(9) }), example: { a: '' } } },
        }),
      ],
      /the example of version 1 breaks its schema: a: /,
    ],
    [
      'an example is not JSON',
      [
        defineEvent({
          ...base,
          type: 'PersonNamed',
          versions: { 1: { schema: z.looseObject({ at: z.date() }), example: { at: new Date(0) } } },
        }),
      ],
      /not plain JSON/,
    ],
    [
      'a schema changes what it reads',
      [
        defineEvent({
          ...base,
          type: 'PersonNamed',
          versions: { 1: { schema: z.looseObject({ a: z.string().default('x') }), example: {} } },
        }),
      ],
      /changes its data/,
    ],
  ];

  test.each(mistakes)('%s', (_, types, sentence) => {
    const error = failure(() => createCatalogue(types));
    expect(error).toBeInstanceOf(CatalogueError);
    expect(error).toMatchObject({
      code: 'WARREN_CATALOGUE_INVALID',
      message: expect.stringMatching(sentence),
    });
  });
});
