/**
 * A projection: a read model with one document per key, made from events and from nothing else.
 *
 *     const Orders = defineProjection<OrderView>({
 *       name: 'orders',
 *       key: (event) => event.aggregateId,
 *       evolve: (order, event) => …,                 // pure; null deletes
 *       indexes: [{ key: { userId: 1 } }],
 *     });
 *
 * **Rule of many sources.** A key may be fed by many aggregates (points by user, out of orders). Every document remembers
 * which version of each of them it has seen, so no event takes effect twice. Two things follow: events of one aggregate
 * come in order but those of different aggregates in any order, so `evolve` must not depend on it (adding does not,
 * "the last one wins" does); and a document grows by some 50 bytes per source, so a key with tens of thousands
 * of sources wants to be an aggregate of its own (append to it with `once`).
 *
 * Documents lie flat in the collection, beside a field `_warren` that belongs to the store.
 */
import type { Event } from '@warren/contracts';
import type mongoose from 'mongoose';
import { ProjectionInvalidError } from './errors.ts';

export type ProjectionIndex = Omit<mongoose.mongo.IndexDescription, 'name'> & { readonly name?: string };

export interface ProjectionDefinition<Doc extends object> {
  /** The collection; a rebuilt one is `<name>.<generation>`, so read through the store. */
  readonly name: string;
  /** Which document an event concerns; null when it concerns none. Depends on the event alone. */
  readonly key: (event: Event) => string | null;
  /** The document after the event (upcast to the newest version); null when there is none any more. */
  readonly evolve: (doc: Doc | null, event: Event) => Doc | null;
  /** A unique one holds up the aggregate whose document it refuses: an event has happened, and cannot be refused. */
  readonly indexes?: readonly ProjectionIndex[];
}

export type Projection<Doc extends object = object> = ProjectionDefinition<Doc>;

/** A projection whatever its documents are: what a store takes. */
export interface AnyProjection {
  readonly name: string;
  readonly key: (event: Event) => string | null;
  readonly evolve: (doc: never, event: Event) => object | null;
  readonly indexes?: readonly ProjectionIndex[];
}

/** Where a document's aggregates stand. An array, because an id may hold characters that a field name may not. */
export interface Seen {
  readonly aggregateId: string;
  readonly version: number;
}

export interface Bookkeeping {
  /** Counts writes; the guard of every replacement. */
  readonly rev: number;
  readonly seen: readonly Seen[];
  /** The document was deleted; this stays, so that a late event does not bring it back. */
  readonly gone?: true;
}

/** A document as it is stored. */
export interface ProjectionDocument {
  readonly _id: string;
  readonly _warren: Bookkeeping;
  readonly [field: string]: unknown;
}

const RESERVED_NAMES = ['commits', 'inbox', 'leases', 'projections'];

/** @throws {ProjectionInvalidError} when the name cannot be a collection's. */
export function defineProjection<Doc extends object>(definition: ProjectionDefinition<Doc>): Projection<Doc> {
  const { name } = definition;
  if (!/^[a-z][a-z0-9_-]{0,59}$/i.test(name) || RESERVED_NAMES.includes(name)) {
    throw new ProjectionInvalidError(
      `"${name}" cannot name a projection: write letters, digits, "-" or "_", and none of ${RESERVED_NAMES.join(', ')}`,
    );
  }
  return Object.freeze({ ...definition });
}

/** The document without what belongs to the store; null when there is none. */
export function docOf(stored: ProjectionDocument | null | undefined): object | null {
  if (!stored || stored._warren.gone) return null;
  const { _id, _warren, ...doc } = stored;
  return doc;
}

/** Up to which version of an aggregate a document has seen events; 0 when of none. */
export function seenOf(stored: ProjectionDocument | null | undefined, aggregateId: string): number {
  return stored?._warren.seen.find((seen) => seen.aggregateId === aggregateId)?.version ?? 0;
}

/** What is stored after `doc` has seen the aggregate's events up to `version`. */
export function nextDocument(
  projection: AnyProjection,
  key: string,
  stored: ProjectionDocument | null | undefined,
  doc: object | null,
  seen: Seen,
): ProjectionDocument {
  if (doc && ('_id' in doc || '_warren' in doc)) {
    throw new ProjectionInvalidError(
      `${projection.name}: evolve must not set _id or _warren; the key is ${key} already`,
    );
  }
  const others = stored?._warren.seen.filter(({ aggregateId }) => aggregateId !== seen.aggregateId) ?? [];
  const bookkeeping: Bookkeeping = {
    rev: (stored?._warren.rev ?? 0) + 1,
    seen: [...others, { aggregateId: seen.aggregateId, version: seen.version }],
    ...(!doc && { gone: true }),
  };
  return { ...doc, _id: key, _warren: bookkeeping };
}
