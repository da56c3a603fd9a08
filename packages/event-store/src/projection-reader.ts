/** Reads documents of a projection, wherever its current collection is, without what belongs to the store. */
import type mongoose from 'mongoose';
import { docOf } from './projection.ts';
import type { Projection, ProjectionDocument } from './projection.ts';
import type { Projector } from './projector.ts';

export interface FindOptions {
  readonly sort?: Readonly<Record<string, 1 | -1>>;
  readonly skip?: number;
  /** 1000 by default. */
  readonly limit?: number;
}

export interface ProjectionReader<Doc extends object> {
  get(key: string): Promise<Doc | null>;
  /** By fields of the document, in the database's query language. */
  find(filter?: Readonly<Record<string, unknown>>, options?: FindOptions): Promise<Doc[]>;
  count(filter?: Readonly<Record<string, unknown>>): Promise<number>;
  /** The result of an aggregation pipeline over the documents that are there. */
  aggregate<Result extends object>(pipeline: readonly Readonly<Record<string, unknown>>[]): Promise<Result[]>;
}

const PRESENT = { '_warren.gone': { $ne: true } };

export function createProjectionReader<Doc extends object>(
  projector: Projector,
  { name }: Projection<Doc>,
): ProjectionReader<Doc> {
  const collection = (): ReturnType<Projector['currentCollection']> => projector.currentCollection(name);
  const present = (filter: Readonly<Record<string, unknown>>): mongoose.mongo.Filter<ProjectionDocument> =>
    Object.keys(filter).length === 0 ? PRESENT : { $and: [filter, PRESENT] };

  return {
    async get(key) {
      return docOf(await (await collection()).findOne({ _id: key })) as Doc | null;
    },

    async find(filter = {}, { sort, skip = 0, limit = 1000 } = {}) {
      const cursor = (await collection()).find(present(filter), { batchSize: limit + 1 });
      if (sort) cursor.sort({ ...sort });
      const found = await cursor.skip(skip).limit(limit).toArray();
      return found.map((stored) => docOf(stored) as Doc);
    },

    async count(filter = {}) {
      return await (await collection()).countDocuments(present(filter));
    },

    async aggregate<Result extends object>(pipeline: readonly Readonly<Record<string, unknown>>[]) {
      return await (await collection()).aggregate<Result>([{ $match: PRESENT }, ...pipeline]).toArray();
    },
  };
}
