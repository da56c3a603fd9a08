/**
 * Rebuilds projections from the log: beside the old one, then swaps. Reads and appends go on meanwhile.
 *
 * Why nothing is missing after the swap, whatever is appended and whoever dies:
 * 1. The new collection is entered in the registry before the scan of the log begins.
 * 2. A commit that was stored before the scan began is found by the scan.
 * 3. A commit that was stored later is pending, and a relay marks it only after it has read the registry, applied the
 *    commit to every collection that is named there, and found the registry unchanged. It reads the registry after
 *    the commit, so it finds the new collection (or, after the swap, finds it as the current one).
 * Both ways may meet: documents remember what they have seen. A rebuild that dies leaves a collection that grows a
 * little and that the next rebuild drops; of two rebuilds at once the later one wins.
 *
 * Documents are folded in memory and written in bulk, a page of commits at a time.
 */
import type { Catalogue, Event } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { upcastEvents } from './commit.ts';
import type { Commit } from './commit.ts';
import { collectionOf } from './database.ts';
import { RebuildSupersededError } from './errors.ts';
import type { Log } from './log.ts';
import { docOf, nextDocument, seenOf } from './projection.ts';
import type { AnyProjection, ProjectionDocument } from './projection.ts';
import type { Generation, ProjectionRegistry } from './projection-registry.ts';
import { keysOf } from './projector.ts';
import type { Projector } from './projector.ts';

export interface RebuildProgress {
  /** Commits so far. */
  readonly done: number;
  /** Commits in the log when the rebuild began, as the database estimates them. */
  readonly total: number;
  readonly ratePerSecond: number;
}

export interface RebuildOptions {
  readonly onProgress?: (progress: RebuildProgress) => void;
  readonly signal?: AbortSignal;
  /** Which projections; all by default. */
  readonly names?: readonly string[];
  readonly pageSize?: number;
}

export interface RebuildParts {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly log: Log;
  readonly registry: ProjectionRegistry;
  readonly projector: Projector;
  readonly projections: readonly AnyProjection[];
}

export async function rebuild(
  { connection, catalogue, log, registry, projector, projections }: RebuildParts,
  { onProgress, signal, names, pageSize = 2000 }: RebuildOptions = {},
): Promise<RebuildProgress> {
  const wanted = projections.filter(({ name }) => names?.includes(name) ?? true);
  const builds: { projection: AnyProjection; next: Generation }[] = [];
  for (const projection of wanted) builds.push({ projection, next: await registry.beginBuild(projection) });
  // From here on this process, too, applies what it appends to both.
  await projector.refresh();

  const total = await log.estimate();
  const began = performance.now();
  let done = 0;
  const progress = (): RebuildProgress => ({
    done,
    total: Math.max(total, done),
    ratePerSecond: done / Math.max(0.001, (performance.now() - began) / 1000),
  });

  const write = async (page: readonly Commit[]): Promise<void> => {
    for (const { projection, next } of builds) {
      await writePage({ connection, catalogue, projector }, projection, next.collection, page);
    }
    done += page.length;
    onProgress?.(progress());
  };

  let page: Commit[] = [];
  for await (const commit of log.readAll({ batchSize: pageSize, ...(signal && { signal }) })) {
    page.push(commit);
    if (page.length < pageSize) continue;
    await write(page);
    page = [];
    signal?.throwIfAborted();
  }
  await write(page);
  let superseded: RebuildSupersededError | undefined;
  for (const { projection, next } of builds) {
    try {
      await registry.swap(projection.name, next);
    } catch (error) {
      if (!(error instanceof RebuildSupersededError)) throw error;
      superseded = error; // the others are still ours to swap
    }
  }
  await projector.refresh();
  if (superseded) throw superseded;
  return progress();
}

/**
 * Writes what a page of the scan says. The scan is in order per aggregate, so what a document has not seen of an
 * aggregate before this page did not concern it. Where a relay was quicker, the bulk write leaves the document alone,
 * and the guarded way does the rest.
 */
async function writePage(
  { connection, catalogue, projector }: Pick<RebuildParts, 'connection' | 'catalogue' | 'projector'>,
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
