/**
 * Which collection holds a projection, and which one is being built: the collection `projections`.
 *
 *     { _id: 'orders', generation: 2, collection: 'orders.2', complete: true, wantedAt,
 *       building?: { generation: 3, collection: 'orders.3', builder, done, after? } }
 *
 * `wantedAt` is when a process last said that it keeps the projection, by the database's clock: in a rolling update there
 * are processes that know a projection and others that do not.
 *
 * A rebuild swaps by changing this one document; nothing is renamed, so there is no moment in which a collection is
 * half there. The collection before stays until the next rebuild, for readers that look a moment late.
 */
import { randomUUID } from 'node:crypto';
import type { Connection } from 'mongoose';
import { collectionOf, dropCollection, ensureCollection, isDuplicateKey } from './database.ts';
import type { Collection } from './database.ts';
import { RebuildSupersededError } from './errors.ts';
import type { Position } from './log.ts';
import type { AnyProjection } from './projection.ts';

export interface Generation {
  readonly generation: number;
  readonly collection: string;
}

/** A build that is under way, or whose process died. */
export interface Build extends Generation {
  /** Who is at it. Whoever supersedes or continues it enters another one. */
  readonly builder: string;
  /** How many commits of the log are in it, and up to which place. */
  readonly done: number;
  readonly after?: Position;
}

export interface RegistryEntry extends Generation {
  readonly _id: string;
  /** False until the projection holds all of the log: it was added to a log that had events already. */
  readonly complete: boolean;
  readonly building?: Build;
  readonly wantedAt?: Date;
}

/** How often a process says which projections it keeps, and after how long without it they are nobody's. */
const WANTED_EVERY_MS = 60_000;
const WANTED_FOR_MS = 5 * WANTED_EVERY_MS;

const REGISTRY = 'projections';
/** No projection can be called so. */
const CLOCK = '$clock';

export interface ProjectionRegistry {
  /** Enters a projection that is not there yet. */
  register(projection: AnyProjection): Promise<RegistryEntry>;
  /** Says again that this process keeps them; does nothing if it has said so a moment ago. */
  want(names: readonly string[]): Promise<void>;
  /** Those of the entries that a process keeps, this one or another. */
  wanted(entries: readonly RegistryEntry[]): Promise<readonly RegistryEntry[]>;
  /** All entries, as the database has them now. */
  load(): Promise<ReadonlyMap<string, RegistryEntry>>;
  /** They hold all of the log, which is empty. */
  markComplete(names: readonly string[]): Promise<void>;
  /**
   * From now on every relay applies commits to the new collection as well. Supersedes a build that is under way, or
   * with `resume` goes on where it is.
   */
  beginBuild(projection: AnyProjection, resume: boolean): Promise<Build>;
  /** Says how far it is. @throws {RebuildSupersededError} when another build began since. */
  advance(name: string, build: Build, progress: Pick<Build, 'done' | 'after'>): Promise<void>;
  /** @throws {RebuildSupersededError} when another build began since. */
  swap(name: string, build: Build): Promise<void>;
}

export function createProjectionRegistry(connection: Connection): ProjectionRegistry {
  const registry = (): Collection<RegistryEntry> => collectionOf<RegistryEntry>(connection, REGISTRY);
  /** By our monotonic clock; `register` says it for the first time. */
  let saidAt = performance.now();
  const indexesOf = ({ indexes = [] }: AnyProjection): Parameters<typeof ensureCollection>[2] => [...indexes];

  /** Drops what is left of earlier builds, finished or not. */
  async function dropBefore(build: Build, name: string, current: string): Promise<void> {
    for (const { generation, collection } of await generationsOf(connection, name)) {
      if (generation < build.generation && collection !== current)
        await dropCollection(connection, collection);
    }
  }

  return {
    async register(projection) {
      const { name } = projection;
      const entry: RegistryEntry = { _id: name, generation: 1, collection: name, complete: false };
      try {
        await registry().insertOne({ ...entry });
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
      const stamped = await registry().findOneAndUpdate(
        { _id: name },
        { $currentDate: { wantedAt: true } },
        { returnDocument: 'after' },
      );
      const found = stamped ?? entry;
      await ensureCollection(connection, found.collection, indexesOf(projection));
      return found;
    },

    async want(names) {
      const now = performance.now();
      if (now - saidAt < WANTED_EVERY_MS) return;
      await registry().updateMany({ _id: { $in: [...names] } }, { $currentDate: { wantedAt: true } });
      saidAt = now;
    },

    async wanted(entries) {
      if (entries.length === 0) return [];
      // Asks the database what time it is by its clock.
      const clock = await registry().findOneAndUpdate(
        { _id: CLOCK },
        { $currentDate: { wantedAt: true } },
        { upsert: true, returnDocument: 'after' },
      );
      const now = clock?.wantedAt?.getTime() ?? 0;
      return entries.filter(({ wantedAt }) => wantedAt && now - wantedAt.getTime() < WANTED_FOR_MS);
    },

    async markComplete(names) {
      await registry().updateMany({ _id: { $in: [...names] }, generation: 1 }, { $set: { complete: true } });
    },

    async load() {
      const entries = await registry()
        .find({ _id: { $ne: CLOCK } })
        .toArray();
      return new Map(entries.map((entry) => [entry._id, entry]));
    },

    async beginBuild(projection, resume) {
      const { name } = projection;
      for (;;) {
        const found = await registry().findOne({ _id: name });
        if (!found) {
          await this.register(projection);
          continue;
        }
        const { building } = found;
        const builder = randomUUID();
        const generation = (building ?? found).generation + 1;
        const build =
          resume && building
            ? { ...building, builder }
            : { generation, collection: `${name}.${generation}`, builder, done: 0 };
        // Entered first and made after: of two that begin at once only the winner may touch the new collection.
        const entered = await registry().updateOne(
          { _id: name, generation: found.generation, 'building.builder': building?.builder ?? null },
          { $set: { building: build } },
        );
        if (entered.matchedCount === 0) continue;
        await ensureCollection(connection, build.collection, indexesOf(projection));
        await dropBefore(build, name, found.collection);
        return build;
      }
    },

    async advance(name, { builder }, { done, after }) {
      const advanced = await registry().updateOne(
        { _id: name, 'building.builder': builder },
        { $set: { 'building.done': done, ...(after && { 'building.after': after }) } },
      );
      if (advanced.matchedCount === 0) throw superseded(name);
    },

    async swap(name, { builder, generation, collection }) {
      const swapped = await registry().updateOne(
        { _id: name, 'building.builder': builder },
        { $set: { generation, collection, complete: true }, $unset: { building: '' } },
      );
      if (swapped.matchedCount === 0) throw superseded(name);
    },
  };
}

/** The collections of a projection that exist. A projection's name has no dot, so nothing else is called so. */
async function generationsOf(connection: Connection, name: string): Promise<Generation[]> {
  const collections = (await connection.db?.listCollections({}, { nameOnly: true }).toArray()) ?? [];
  return collections.flatMap(({ name: collection }) => {
    if (collection === name) return [{ generation: 1, collection }];
    const [, number] = new RegExp(`^${name}\\.(\\d+)$`).exec(collection) ?? [];
    return number === undefined ? [] : [{ generation: Number(number), collection }];
  });
}

function superseded(name: string): RebuildSupersededError {
  return new RebuildSupersededError(`another process began to rebuild ${name}; its result will be used`);
}
