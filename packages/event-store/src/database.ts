/**
 * What this package needs of the database, at driver level: mongoose owns the connection, and its models are passed by
 * (they cost half of the throughput, and the schema of an event lives in the contracts).
 *
 * Everything is written with majority and journal, and read with majority, because decisions are taken on what is
 * read: a version that a failover could take back must not be built on. Nothing here needs a replica set.
 *
 * How soon a peer that is dead without saying so is given up is up to who opens the connection: the driver notices after
 * `heartbeatFrequencyMS` + `connectTimeoutMS`, which are 40 s unless set. (Its `timeoutMS` has no effect.)
 */
import mongoose from 'mongoose';
import type { Connection } from 'mongoose';
import { backoffMs, pause } from './backoff.ts';
import { StoreClosedError } from './errors.ts';

export type Db = mongoose.mongo.Db;
export type Collection<T extends mongoose.mongo.Document> = mongoose.mongo.Collection<T>;
export type IndexDescription = mongoose.mongo.IndexDescription;

/** A majority that is away is told of as an unknown outcome (code 64), and holds nobody up for longer. */
const MAJORITY_WITHIN_MS = 5000;

const DURABLE = {
  writeConcern: { w: 'majority', journal: true, wtimeoutMS: MAJORITY_WITHIN_MS },
  readConcern: { level: 'majority' },
  ignoreUndefined: true,
} as const;

/** How many documents a batch of a cursor has; the driver's first batch of 101 costs a round trip per hundred commits. */
export const READ_BATCH = 1000;

export function collectionOf<T extends mongoose.mongo.Document>(
  connection: Connection,
  name: string,
): Collection<T> {
  const { db } = connection;
  if (!db) throw new StoreClosedError('the connection to the database is not open');
  const known = collections.get(db) ?? new Map<string, Collection<never>>();
  collections.set(db, known);
  const collection = known.get(name) ?? (db.collection<T>(name, DURABLE) as unknown as Collection<never>);
  known.set(name, collection);
  return collection as unknown as Collection<T>;
}

/** Made once: making one takes as long as encoding a commit. */
const collections = new WeakMap<Db, Map<string, Collection<never>>>();

/** Makes the collection and its indexes if they are not there. Safe to run from several processes at once. */
export async function ensureCollection(
  connection: Connection,
  name: string,
  indexes: readonly IndexDescription[],
): Promise<void> {
  const collection = collectionOf(connection, name);
  try {
    await connection.db?.createCollection(name);
  } catch (error) {
    if (!hasCode(error, [NAMESPACE_EXISTS])) throw error;
  }
  if (indexes.length > 0) await collection.createIndexes([...indexes]);
}

export async function dropCollection(connection: Connection, name: string): Promise<void> {
  try {
    await collectionOf(connection, name).drop();
  } catch (error) {
    if (!hasCode(error, [NAMESPACE_NOT_FOUND])) throw error;
  }
}

const NAMESPACE_NOT_FOUND = 26;
const NAMESPACE_EXISTS = 48;

export function isDuplicateKey(error: unknown): boolean {
  return hasCode(error, [11000]);
}

/**
 * Whether the same operation may succeed later, and may even have succeeded now: the network broke, the primary
 * stepped down, a write was not acknowledged by a majority in time. Code 1 is how FerretDB reports that its own
 * database is gone.
 */
export function isTransient(error: unknown): boolean {
  const { MongoError, MongoNetworkError, MongoServerSelectionError, MongoWriteConcernError } = mongoose.mongo;
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) return true;
  if (error instanceof MongoWriteConcernError) return true;
  // The driver does not export its class.
  if (error instanceof MongoError && error.name === 'MongoWaitQueueTimeoutError') return true;
  if (
    error instanceof MongoError &&
    (error.hasErrorLabel('RetryableWriteError') || error.hasErrorLabel('ResetPool'))
  ) {
    return true;
  }
  return hasCode(error, TRANSIENT_CODES);
}

/** From the drivers' specification of retryable errors, and WriteConcernFailed (64), ExceededTimeLimit (262). */
const TRANSIENT_CODES = [1, 6, 7, 64, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436];

/** Repeats `run`, which may be run twice, while only the network is in the way: for some seconds, and a try that takes longer. */
export async function retrying<T>(run: () => Promise<T>): Promise<T> {
  const patience = createPatience();
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!isTransient(error) || !(await patience.another())) throw error;
    }
  }
}

/** Repeats `run`, which may be run twice, until the database answers, or the connection to it is closed. */
export async function persisting<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    await pause(backoffMs(tries, QUICK_BACKOFF));
  }
}

/** How long to bear with a database that does not answer, from its first failure on. */
export function createPatience(): {
  /** Waits a little; false when it has been enough. */ another(): Promise<boolean>;
} {
  let since: number | undefined;
  let tries = 0;
  return {
    async another() {
      since ??= performance.now();
      if (performance.now() - since > PATIENCE_MS) return false;
      await pause(backoffMs(++tries, BACKOFF));
      return true;
    },
  };
}

export const PATIENCE_MS = 10_000;
const BACKOFF = { initialMs: 50, maxMs: 2000 };
const QUICK_BACKOFF = { initialMs: 50, maxMs: 250 };

/** Of the driver's errors only: a call by gRPC and a child process that ends have small numbers for codes, too. */
function hasCode(error: unknown, codes: readonly number[]): boolean {
  return (
    error instanceof mongoose.mongo.MongoError && typeof error.code === 'number' && codes.includes(error.code)
  );
}
