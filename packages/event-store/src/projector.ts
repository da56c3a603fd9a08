/**
 * Brings projections up to commits. Harmless to run twice, late, out of order, or in several processes at once:
 *
 * - A document is replaced only if it is still the revision that was read, so concurrent writers take turns.
 * - It remembers the version that it has seen of each aggregate: an event at or below it is skipped.
 * - When it is behind by more than the commit at hand (another process appended version 3 and died before it projected),
 *   what is missing is read from the log first. So whoever comes last finds nothing to do.
 *
 * A commit may only be marked when it is in every projection that a live process keeps. In a rolling update that may be
 * one that this process does not know: then `ensure` reports it as missing, and leaves the commit to one that does.
 *
 * The relay calls `ensure` before it marks a commit, with a registry that it read after it read the commit; see
 * `rebuild.ts` for why that is enough to lose nothing while a projection is being rebuilt.
 */
import type { Catalogue, Event } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { backoffMs, pause } from './backoff.ts';
import { upcastEvents } from './commit.ts';
import type { Commit } from './commit.ts';
import { collectionOf, isDuplicateKey } from './database.ts';
import type { Collection } from './database.ts';
import { ProjectionUnknownError } from './errors.ts';
import type { Log } from './log.ts';
import { docOf, nextDocument, seenOf } from './projection.ts';
import type { AnyProjection, ProjectionDocument } from './projection.ts';
import type { ProjectionRegistry, RegistryEntry } from './projection-registry.ts';

export interface ProjectionFailure {
  readonly projection: string;
  readonly commit: Commit;
  readonly error: unknown;
}

export interface Projector {
  /** Applies one commit, just appended, with the registry as this process last saw it. Throws the first failure. */
  applyFresh(commit: Commit): Promise<void>;
  /**
   * Makes certain that the commits (of each aggregate in order) are in every projection, building ones included.
   * Returns which are not, and why: of an aggregate and a projection at least the first, for those after it are not
   * tried. In no order.
   */
  ensure(commits: readonly Commit[]): Promise<ProjectionFailure[]>;
  /** Applies the commit to one collection of a projection. */
  applyTo(projection: AnyProjection, collection: string, commit: Commit): Promise<void>;
  /** The collection that readers want, at most `REGISTRY_TTL_MS` old. */
  currentCollection(name: string): Promise<Collection<ProjectionDocument>>;
  /** Says now and then that this process keeps its projections. */
  stillThere(): Promise<void>;
  /** Forgets what it knows of the registry. */
  refresh(): Promise<ReadonlyMap<string, RegistryEntry>>;
}

/** How late another process may read a rebuilt projection. */
export const REGISTRY_TTL_MS = 1000;
const LOST_RACE = { initialMs: 1, maxMs: 100 };

export interface ProjectorOptions {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly log: Log;
  readonly registry: ProjectionRegistry;
  readonly projections: readonly AnyProjection[];
}

export function createProjector({
  connection,
  catalogue,
  log,
  registry,
  projections,
}: ProjectorOptions): Projector {
  let known: { entries: ReadonlyMap<string, RegistryEntry>; at: number } | undefined;

  const collection = (name: string): Collection<ProjectionDocument> =>
    collectionOf<ProjectionDocument>(connection, name);

  async function refresh(): Promise<ReadonlyMap<string, RegistryEntry>> {
    const entries = await registry.load();
    known = { entries, at: performance.now() };
    return entries;
  }

  async function entries(): Promise<ReadonlyMap<string, RegistryEntry>> {
    return known && performance.now() - known.at < REGISTRY_TTL_MS ? known.entries : await refresh();
  }

  /** Brings one document up to a commit. */
  async function bringUp(
    projection: AnyProjection,
    name: string,
    key: string,
    commit: Commit,
  ): Promise<void> {
    for (let lost = 0; ;) {
      const stored = await collection(name).findOne({ _id: key });
      const seen = seenOf(stored, commit.aggregateId);
      if (seen >= commit.to) return;
      const commits =
        seen >= commit.from - 1
          ? [commit]
          : await log.read(commit.aggregateId, { from: seen + 1, to: commit.to });
      const events = upcastEvents(commits, catalogue).filter((event) => event.version > seen);
      const doc = fold(projection, key, docOf(stored), events);
      const next = nextDocument(projection, key, stored, doc, {
        aggregateId: commit.aggregateId,
        version: commit.to,
      });
      if (await replace(collection(name), stored, next)) return;
      await pause(backoffMs(++lost, LOST_RACE));
    }
  }

  async function applyTo(projection: AnyProjection, name: string, commit: Commit): Promise<void> {
    for (const key of keysOf(projection, upcastEvents([commit], catalogue))) {
      await bringUp(projection, name, key, commit);
    }
  }

  /** One collection of one projection, all commits: asks once for what is behind, and that is usually nothing. */
  async function ensureIn(
    projection: AnyProjection,
    name: string,
    commits: readonly Commit[],
  ): Promise<ProjectionFailure[]> {
    const failures: ProjectionFailure[] = [];
    const fail = (commit: Commit, error: unknown): void =>
      void failures.push({ projection: projection.name, commit, error });
    const wanted: { commit: Commit; keys: ReadonlySet<string> }[] = [];
    const unreadable = new Set<string>();
    for (const commit of commits) {
      if (unreadable.has(commit.aggregateId)) continue;
      try {
        wanted.push({ commit, keys: keysOf(projection, upcastEvents([commit], catalogue)) });
      } catch (error) {
        unreadable.add(commit.aggregateId);
        fail(commit, error);
      }
    }
    const keys = new Set(wanted.flatMap((item) => [...item.keys]));
    if (keys.size === 0) return failures;
    const heads = await collection(name)
      .find({ _id: { $in: [...keys] } }, { projection: { _warren: 1 }, batchSize: keys.size + 1 })
      .toArray();
    const byKey = new Map(heads.map((head) => [head._id, head]));
    const failed = new Set<string>();
    for (const { commit, keys: own } of wanted) {
      if (failed.has(commit.aggregateId)) continue;
      try {
        for (const key of own) {
          if (seenOf(byKey.get(key), commit.aggregateId) < commit.to)
            await bringUp(projection, name, key, commit);
        }
      } catch (error) {
        failed.add(commit.aggregateId);
        fail(commit, error);
      }
    }
    return failures;
  }

  /** The commits, once for each projection that another process keeps and this one does not know. */
  async function unknown(
    registered: ReadonlyMap<string, RegistryEntry>,
    commits: readonly Commit[],
  ): Promise<ProjectionFailure[]> {
    const own = new Set(projections.map(({ name }) => name));
    const foreign = await registry.wanted([...registered.values()].filter(({ _id }) => !own.has(_id)));
    return foreign.flatMap(({ _id: projection }) => {
      const error = new ProjectionUnknownError(
        `the projection ${projection} is kept by another version of this service, which marks what is published`,
      );
      return commits.map((commit) => ({ projection, commit, error }));
    });
  }

  return {
    refresh,
    applyTo,
    stillThere: () => registry.want(projections.map(({ name }) => name)),

    async applyFresh(commit) {
      if (projections.length === 0) return;
      const registered = await entries();
      for (const projection of projections) {
        for (const name of targets(projection, registered)) await applyTo(projection, name, commit);
      }
    },

    async ensure(commits) {
      if (commits.length === 0) return [];
      const done = new Set<string>();
      const failures: ProjectionFailure[] = [];
      // Until no rebuild has begun or ended since: see rebuild.ts.
      for (;;) {
        const registered = await refresh();
        const open = projections.flatMap((projection) =>
          targets(projection, registered)
            .filter((name) => !done.has(name))
            .map((name) => ({ projection, name })),
        );
        if (open.length === 0) return [...failures, ...(await unknown(registered, commits))];
        for (const { projection, name } of open) {
          failures.push(...(await ensureIn(projection, name, commits)));
          done.add(name);
        }
      }
    },

    async currentCollection(name) {
      return collection((await entries()).get(name)?.collection ?? name);
    },
  };
}

function targets(projection: AnyProjection, registered: ReadonlyMap<string, RegistryEntry>): string[] {
  const entry = registered.get(projection.name);
  if (!entry) return [projection.name];
  return entry.building ? [entry.collection, entry.building.collection] : [entry.collection];
}

export function keysOf(projection: AnyProjection, events: readonly Event[]): Set<string> {
  return new Set(events.map((event) => projection.key(event)).filter((key) => key !== null));
}

export function fold(
  projection: AnyProjection,
  key: string,
  doc: object | null,
  events: readonly Event[],
): object | null {
  return events
    .filter((event) => projection.key(event) === key)
    .reduce<object | null>((before, event) => projection.evolve(before as never, event), doc);
}

/** False when the document has changed since it was read. */
async function replace(
  collection: Collection<ProjectionDocument>,
  stored: ProjectionDocument | null,
  next: ProjectionDocument,
): Promise<boolean> {
  if (stored) {
    const replaced = await collection.replaceOne({ _id: next._id, '_warren.rev': stored._warren.rev }, next);
    return replaced.matchedCount === 1;
  }
  try {
    await collection.insertOne(next);
    return true;
  } catch (error) {
    if (isDuplicateKey(error) && (await isThere(collection, next._id))) return false;
    throw error; // also what a unique index of the projection refuses: nobody has raced for that key
  }
}

/** Also when a majority has not acknowledged it yet: it is in the way all the same. */
async function isThere(collection: Collection<ProjectionDocument>, key: string): Promise<boolean> {
  const found = await collection.findOne(
    { _id: key },
    { projection: { _id: 1 }, readConcern: { level: 'local' } },
  );
  return found !== null;
}
