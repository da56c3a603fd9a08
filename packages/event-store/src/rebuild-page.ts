/** One page of the log, folded in memory and written to one collection of one projection. */
import type { Catalogue, Event } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { upcastEvents } from './commit.ts';
import type { Commit } from './commit.ts';
import { collectionOf } from './database.ts';
import { docOf, nextDocument, seenOf } from './projection.ts';
import type { AnyProjection, ProjectionDocument } from './projection.ts';
import { keysOf } from './projector.ts';
import type { Projector } from './projector.ts';

export interface PageParts {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly projector: Projector;
}

/**
 * Writes what a page of the scan says. The scan is in order per aggregate, so what a document has not seen of an
 * aggregate before this page did not concern it. Where a relay was quicker, the bulk write leaves the document alone,
 * and the guarded way does the rest.
 */
export async function writePage(
  { connection, catalogue, projector }: PageParts,
  projection: AnyProjection,
  name: string,
  page: readonly Commit[],
): Promise<void> {
  const changes = new Map<string, { commit: Commit; events: Event[] }[]>();
  for (const commit of page) {
    const events = upcastEvents([commit], catalogue);
    for (const key of keysOf(projection, events)) {
      const own = events.filter((event) => projection.key(event) === key);
      const of = changes.get(key);
      if (of) of.push({ commit, events: own });
      else changes.set(key, [{ commit, events: own }]);
    }
  }
  if (changes.size === 0) return;

  const collection = collectionOf<ProjectionDocument>(connection, name);
  const found = await collection
    .find({ _id: { $in: [...changes.keys()] } }, { batchSize: changes.size + 1 })
    .toArray();
  const before = new Map(found.map((stored) => [stored._id, stored]));
  const inserts: ProjectionDocument[] = [];
  const replaces: { stored: ProjectionDocument; next: ProjectionDocument }[] = [];
  for (const [key, commits] of changes) {
    const stored = before.get(key);
    let next = stored;
    for (const { commit, events } of commits) {
      const seen = seenOf(next, commit.aggregateId);
      if (seen >= commit.to) continue;
      const doc = events
        .filter((event) => event.version > seen)
        .reduce<object | null>((doc, event) => projection.evolve(doc as never, event), docOf(next));
      next = nextDocument(projection, key, next, doc, {
        aggregateId: commit.aggregateId,
        version: commit.to,
      });
    }
    if (!next || next === stored) continue;
    if (stored) replaces.push({ stored, next });
    else inserts.push(next);
  }

  const operations = [
    ...inserts.map((document) => ({ insertOne: { document } })),
    ...replaces.map(({ stored, next }) => ({
      replaceOne: { filter: { _id: next._id, '_warren.rev': stored._warren.rev }, replacement: next },
    })),
  ];
  if (operations.length === 0) return;
  let written: number;
  try {
    const result = await collection.bulkWrite(operations, { ordered: false });
    written = result.insertedCount + result.matchedCount;
  } catch {
    // Somebody was quicker with a document, or something is wrong; the guarded way tells which.
    written = 0;
  }
  if (written === operations.length) return;
  for (const commits of changes.values()) {
    for (const { commit } of commits) await projector.applyTo(projection, name, commit);
  }
}
