/**
 * The catalogue: every event type that a service may read or write.
 *
 * Making a catalogue proves it, so that a mistake fails the build and not a replay in two years:
 * - names are PascalCase and unique; versions are 1..n without a gap; every version but the newest has its upcaster;
 * - every example is JSON, passes its schema, and the schema leaves it as it is (no defaults, no transforms: what is
 *   stored is what was said, and changing the reading is an upcaster's business);
 * - the example of every version, upcast step by step, passes the schema of each version on the way.
 *
 * `validate` and `upcast` throw `ContractError`; they never change the event that they are given.
 */
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { CatalogueError, ContractError } from './errors.ts';
import type { ContractIssue } from './errors.ts';
import type { EventType, EventVersion } from './event-type.ts';
import type { Event } from './event.ts';
import { isEventTypeName } from './routing-key.ts';

export interface Catalogue {
  /** All types, by name. */
  types(): readonly EventType[];
  get(type: string): EventType | undefined;
  /**
   * The event, or as much of one as has data, if the data keeps the schema of its `schemaVersion`.
   * @throws {ContractError} `WARREN_CONTRACT_VIOLATION` with the fields, or `WARREN_UNKNOWN_EVENT`.
   */
  validate<E extends Pick<Event, 'type' | 'schemaVersion' | 'data'>>(event: E): E;
  /**
   * The event with its data lifted to the newest `schemaVersion`; the same object when it is there already.
   * @throws {ContractError} `WARREN_UNKNOWN_EVENT`, or `WARREN_CONTRACT_VIOLATION` when an upcaster fails on its data.
   */
  upcast(event: Event): Event;
}

/** What any event type is, whatever its data: the parameter of `createCatalogue`. */
export type AnyEventType = Omit<EventType, 'create' | 'is'>;

/** @throws {CatalogueError} naming the type, the version and what to write instead. */
export function createCatalogue(types: readonly AnyEventType[]): Catalogue {
  const byName = new Map<string, EventType>();
  for (const type of types) {
    if (byName.has(type.type)) throw new CatalogueError(`${type.type} is defined twice`);
    check(type);
    // `create` takes the type's own data; inside the catalogue data is unknown, and nobody creates through it.
    byName.set(type.type, type as EventType);
  }
  const sorted = [...byName.values()].sort((a, b) => (a.type < b.type ? -1 : 1));
  const known = (event: Pick<Event, 'type' | 'schemaVersion'>): [EventType, EventVersion] => {
    const type = byName.get(event.type);
    if (!type) {
      throw new ContractError(
        'WARREN_UNKNOWN_EVENT',
        `${quote(event.type)} is not an event type of this catalogue`,
      );
    }
    const version = type.versions.get(event.schemaVersion);
    if (!version) {
      throw new ContractError(
        'WARREN_UNKNOWN_EVENT',
        `${event.type} has no version ${quote(event.schemaVersion)} here, the newest is ${type.newest}: update this service before the one that publishes`,
      );
    }
    return [type, version];
  };

  return {
    types: () => sorted,
    get: (type) => byName.get(type),
    validate(event) {
      const [, version] = known(event);
      const issues = issuesOf(version, event.data);
      if (issues.length > 0) {
        throw new ContractError(
          'WARREN_CONTRACT_VIOLATION',
          `${event.type} version ${event.schemaVersion}: ${sentence(issues)}`,
          issues,
        );
      }
      return event;
    },
    upcast(event) {
      const [type] = known(event);
      if (event.schemaVersion === type.newest) return event;
      try {
        return {
          ...event,
          schemaVersion: type.newest,
          data: upcastData(type, event.data, event.schemaVersion),
        };
      } catch (error) {
        throw new ContractError(
          'WARREN_CONTRACT_VIOLATION',
          `${event.type} version ${event.schemaVersion} could not be upcast: ${messageOf(error)}`,
        );
      }
    },
  };
}

function upcastData(type: AnyEventType, data: unknown, from: number): unknown {
  let lifted = data;
  for (let version = from; version < type.newest; version++) lifted = type.upcasters.get(version)?.(lifted);
  return lifted;
}

function check(type: AnyEventType): void {
  const wrong = (what: string): CatalogueError => new CatalogueError(`${type.type}: ${what}`);
  if (!isEventTypeName(type.type)) {
    throw wrong('the name must be PascalCase, two words or more, in the past tense, such as OrderPlaced');
  }
  if (type.versions.size === 0) throw wrong('has no version: write versions: { 1: { schema, example } }');
  for (let version = 1; version <= type.versions.size; version++) {
    const { schema, example } = type.versions.get(version) ?? {};
    if (!schema) {
      const found = [...type.versions.keys()].join(', ');
      throw wrong(
        `versions must be 1, 2, 3 … without a gap, but are ${found}: a version that was ever published stays`,
      );
    }
    if (version < type.newest && !type.upcasters.has(version)) {
      throw wrong(
        `version ${version} has no upcaster to ${version + 1}: write upcasters: { ${version}: (v${version}) => v${version + 1} }`,
      );
    }
    checkExample(type, version, { schema, example }, wrong);
  }
  for (const from of type.upcasters.keys()) {
    if (!type.versions.has(from + 1)) throw wrong(`the upcaster from ${from} leads to no version`);
  }
}

function checkExample(
  type: AnyEventType,
  version: number,
  { schema, example }: EventVersion,
  wrong: (what: string) => CatalogueError,
): void {
  if (!isDeepStrictEqual(jsonCopy(example), example))
    throw wrong(`the example of version ${version} is not plain JSON`);
  const parsed = schema.safeParse(example);
  if (!parsed.success) {
    throw wrong(
      `the example of version ${version} breaks its schema: ${sentence(namedIssues(parsed.error.issues))}`,
    );
  }
  if (!isDeepStrictEqual(parsed.data, example)) {
    throw wrong(
      `the schema of version ${version} changes its data: leave defaults and transforms to an upcaster, and use z.looseObject`,
    );
  }
  let data: unknown = jsonCopy(example);
  for (let from = version; from < type.newest; from++) {
    try {
      data = type.upcasters.get(from)?.(data);
    } catch (error) {
      throw wrong(
        `the upcaster from ${from} throws on the example of version ${version}: ${messageOf(error)}`,
      );
    }
    const next = type.versions.get(from + 1);
    const issues = next ? issuesOf(next, data) : [];
    if (issues.length > 0) {
      throw wrong(
        `the upcaster from ${from} makes no version ${from + 1} of the example of version ${version}: ${sentence(issues)}`,
      );
    }
  }
}

function issuesOf(version: EventVersion, data: unknown): ContractIssue[] {
  const parsed = version.schema.safeParse(data);
  return parsed.success ? [] : namedIssues(parsed.error.issues);
}

function namedIssues(issues: readonly z.core.$ZodIssue[]): ContractIssue[] {
  return issues.map(({ path, message }) => ({ field: fieldName(path), message }));
}

/** `['lines', 0, 'quantity']` -> `lines[0].quantity`; the data itself is `data`. */
function fieldName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'data';
  return path.reduce<string>((name, step) => {
    if (typeof step === 'number') return `${name}[${step}]`;
    return name === '' ? String(step) : `${name}.${String(step)}`;
  }, '');
}

function sentence(issues: readonly ContractIssue[]): string {
  return issues.map(({ field, message }) => `${field}: ${message}`).join('; ');
}

function jsonCopy(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : JSON.parse(text);
}

function quote(value: unknown): string {
  return typeof value === 'string'
    ? `"${value.slice(0, 100)}"`
    : typeof value === 'number'
      ? String(value)
      : typeof value;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'it threw something that is no Error';
}
