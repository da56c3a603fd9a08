/**
 * Which collection holds a projection, and which one is being built: the collection `projections`.
 *
 *     { _id: 'orders', generation: 2, collection: 'orders.2', building?: { generation: 3, collection: 'orders.3' } }
 *
 * A rebuild swaps by changing this one document; nothing is renamed, so there is no moment in which a collection is
 * half there. The collection before stays until the next rebuild, for readers that look a moment late.
 */
import type { Connection } from 'mongoose';
import { collectionOf, dropCollection, ensureCollection, isDuplicateKey } from './database.ts';
import type { Collection } from './database.ts';
import { RebuildSupersededError } from './errors.ts';
import type { AnyProjection } from './projection.ts';

export interface Generation {
  readonly generation: number;
  readonly collection: string;
}

export interface RegistryEntry extends Generation {
  readonly _id: string;
  /** False until the projection holds all of the log: it was added to a log that had events already. */
  readonly complete: boolean;
  readonly building?: Generation;
  /** The collection before, which the next rebuild drops. */
  readonly retired?: string;
}

const REGISTRY = 'projections';

export interface ProjectionRegistry {
  /** Enters a projection that is not there yet. */
  register(projection: AnyProjection): Promise<RegistryEntry>;
  /** All entries, as the database has them now. */
  load(): Promise<ReadonlyMap<string, RegistryEntry>>;
  /** They hold all of the log, which is empty. */
  markComplete(names: readonly string[]): Promise<void>;
  /** From now on every relay applies commits to the new collection as well; supersedes a build that is under way. */
  beginBuild(projection: AnyProjection): Promise<Generation>;
  /** @throws {RebuildSupersededError} when another build began since. */
  swap(name: string, built: Generation): Promise<void>;
}

export function createProjectionRegistry(connection: Connection): ProjectionRegistry {
  const registry = (): Collection<RegistryEntry> => collectionOf<RegistryEntry>(connection, REGISTRY);
  const indexesOf = ({ indexes = [] }: AnyProjection): Parameters<typeof ensureCollection>[2] => [...indexes];

  return {
    async register(projection) {
      const { name } = projection;
      const entry: RegistryEntry = { _id: name, generation: 1, collection: name, complete: false };
      try {
        await registry().insertOne({ ...entry });
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
      const found = (await registry().findOne({ _id: name })) ?? entry;
      await ensureCollection(connection, found.collection, indexesOf(projection));
      return found;
    },

    async markComplete(names) {
      await registry().updateMany({ _id: { $in: [...names] }, generation: 1 }, { $set: { complete: true } });
    },

    async load() {
      const entries = await registry().find().toArray();
      return new Map(entries.map((entry) => [entry._id, entry]));
    },

    async beginBuild(projection) {
      for (;;) {
        const found = await registry().findOne({ _id: projection.name });
        if (!found) {
          await this.register(projection);
          continue;
        }
        const generation = (found.building ?? found).generation + 1;
        const next = { generation, collection: `${projection.name}.${generation}` };
        const { building } = found;
        // Entered first and made after: of two that begin at once only the winner may touch the new name.
        const entered = await registry().updateOne(
          {
            _id: projection.name,
            generation: found.generation,
            'building.generation': building?.generation ?? null,
          },
          { $set: { building: next }, $unset: { retired: '' } },
        );
        if (entered.matchedCount === 0) continue;
        await ensureCollection(connection, next.collection, indexesOf(projection));
        for (const leftover of [building?.collection, found.retired]) {
          if (leftover !== undefined) await dropCollection(connection, leftover);
        }
        return next;
      }
    },

    async swap(name, { generation, collection }) {
      const before = await registry().findOne({ _id: name });
      const swapped = await registry().updateOne(
        { _id: name, 'building.generation': generation },
        {
          $set: { generation, collection, complete: true, ...(before && { retired: before.collection }) },
          $unset: { building: '' },
        },
      );
      if (swapped.matchedCount === 0) {
        throw new RebuildSupersededError(`another process began to rebuild ${name}; its result will be used`);
      }
    },
  };
}
