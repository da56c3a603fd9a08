/**
 * An event type: a name, who owns it, and every version of its data that was ever published.
 *
 * Versions are numbered 1, 2, 3 … and none is ever removed: a stored event lives for ever. From each version to
 * the next leads an upcaster, a pure function. `createCatalogue` checks all of it against the examples.
 */
import type { z } from 'zod';
import type { Event, NewEvent } from './event.ts';

/** The schema of one version, and an example of its data. Schemas are open (`z.looseObject`) and only check: no defaults, no transforms. */
export interface EventVersion {
  readonly schema: z.ZodType;
  readonly example: unknown;
}

export type Upcaster = (data: unknown) => unknown;

export interface EventType<Type extends string = string, Data = unknown> {
  readonly type: Type;
  /** The service that publishes it. */
  readonly owner: string;
  /** One sentence: what happened when this event exists. */
  readonly description: string;
  readonly versions: ReadonlyMap<number, EventVersion>;
  /** `upcasters.get(n)` makes data of version n + 1 out of data of version n. */
  readonly upcasters: ReadonlyMap<number, Upcaster>;
  /** The newest version: what is published now and what handlers see. */
  readonly newest: number;
  /** Makes an event of the newest version, to be appended. */
  readonly create: (data: Data) => NewEvent<Type, Data>;
  /** Whether an event (upcast by the catalogue) is of this type. */
  readonly is: (event: Event) => event is Event<Type, Data>;
}

/** The event that a type describes: `EventOf<typeof OrderPlaced>`. */
export type EventOf<T> = T extends EventType<infer Type, infer Data> ? Event<Type, Data> : never;
/** The newest data of a type: `DataOf<typeof OrderPlaced>`. */
export type DataOf<T> = T extends EventType<string, infer Data> ? Data : never;

type Schemas = Readonly<Record<number, z.ZodType>>;

/**
 * The schema with the highest number, counted up from 1. As texts, since an inferred `S` has the keys `'1' | '2'`; of numbers
 * that are not known there is no highest one.
 */
type NewestSchema<S extends Schemas, Counter extends 1[] = [1]> = number extends keyof S
  ? S[number]
  : `${[...Counter, 1]['length']}` extends `${keyof S & (string | number)}`
    ? NewestSchema<S, [...Counter, 1]>
    : S[Counter['length']];

export interface EventDefinition<Type extends string, S extends Schemas> {
  readonly type: Type;
  readonly owner: string;
  readonly description: string;
  readonly versions: { readonly [V in keyof S]: { readonly schema: S[V]; readonly example: z.input<S[V]> } };
  /** By the version it starts from: `{ 1: (v1) => v2 }`. */
  readonly upcasters?: { readonly [V in keyof S]?: (data: z.output<S[V]>) => unknown };
}

/**
 * Defines an event type. Nothing is checked here but types; `createCatalogue` checks the rest.
 *
 * @example
 * const UserCreated = defineEvent({
 *   type: 'UserCreated', owner: 'user', description: 'Someone signed up.',
 *   versions: { 1: { schema: z.looseObject({ userId: z.string() }), example: { userId: 'u1' } } },
 * });
 */
export function defineEvent<const Type extends string, S extends Schemas>(
  definition: EventDefinition<Type, S>,
): EventType<Type, z.output<NewestSchema<S>>> {
  type Data = z.output<NewestSchema<S>>;
  const { type } = definition;
  const versions = byVersion<EventVersion>(definition.versions);
  const newest = Math.max(0, ...versions.keys());
  return Object.freeze<EventType<Type, Data>>({
    type,
    owner: definition.owner,
    description: definition.description,
    versions,
    upcasters: byVersion<Upcaster>(definition.upcasters ?? {}),
    newest,
    create: (data) => ({ type, data, schemaVersion: newest }),
    is: (event): event is Event<Type, Data> => event.type === type && event.schemaVersion === newest,
  });
}

function byVersion<T>(numbered: object): ReadonlyMap<number, T> {
  const entries = Object.entries(numbered as Record<string, T>);
  return new Map(entries.map(([version, value]): [number, T] => [Number(version), value]));
}
