/**
 * The log: reading and appending commits. No projections and no publishing here.
 *
 * Append is one insert. What can go wrong, and how it is told apart:
 * - **The head moved.** `_id` is taken, by a commit whose first event is not ours: ConcurrencyError.
 * - **The expected version is no head** (it lies inside a commit, or beyond the end): then `_id` would be free and the
 *   insert would tear the log. So a commit that ends at the expected version must exist. Commits are never changed, so
 *   this check cannot be outdated: from there on, `_id` decides.
 * - **The message was handled before**: the unique index on `once`. It is asked before the version is, since a message
 *   that comes a second time usually expects a version that is long past.
 * - **The outcome is unknown** (the network broke after the insert was sent): the same document is inserted again,
 *   and a duplicate that carries our own event id is our success.
 */
import { randomUUID } from 'node:crypto';
import type { Catalogue, NewEvent } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { commitId, toCommit } from './commit.ts';
import type { Commit, CommitDocument, Once, Trace } from './commit.ts';
import {
  collectionOf,
  createPatience,
  ensureCollection,
  isDuplicateKey,
  isTransient,
  READ_BATCH,
  retrying,
} from './database.ts';
import type { Collection } from './database.ts';
import {
  AlreadyHandledError,
  AppendInvalidError,
  AppendUnknownError,
  ConcurrencyError,
  LogCorruptError,
} from './errors.ts';
import { plainJson } from './plain-json.ts';
import { createRecent } from './recent.ts';

export const COMMITS = 'commits';

export interface AppendOptions {
  readonly correlationId: string;
  readonly causationId?: string;
  /** The inbox claim: this handler's effect of this message, at most once. One append per handler and message. */
  readonly once?: Once;
}

/** A place in the order of the whole log: by aggregate, then by version. */
export interface Position {
  readonly aggregateId: string;
  readonly to: number;
}

export interface Log {
  init(): Promise<void>;
  /** `headIsKnown`: the caller has read a commit that ends at `expectedVersion`, which spares the check. */
  append(
    aggregateId: string,
    expectedVersion: number,
    events: readonly NewEvent[],
    options: AppendOptions & { readonly headIsKnown?: boolean },
  ): Promise<Commit>;
  /** The commits that hold versions `from` to `to`, in order. */
  read(aggregateId: string, range?: { readonly from?: number; readonly to?: number }): Promise<Commit[]>;
  readAll(options?: {
    readonly batchSize?: number;
    readonly after?: Position;
    readonly signal?: AbortSignal;
  }): AsyncIterable<Commit>;
  findOnce(once: Once): Promise<Commit | undefined>;
  isEmpty(): Promise<boolean>;
  /** About how many commits there are. */
  estimate(): Promise<number>;
}

export interface LogOptions {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly source: string;
  readonly captureTrace?: (() => Trace) | undefined;
  readonly clock: () => Date;
}

export function createLog({ connection, catalogue, source, captureTrace, clock }: LogOptions): Log {
  const commits = (): Collection<CommitDocument> => collectionOf<CommitDocument>(connection, COMMITS);
  /** Where a commit of the aggregate ends, as this process knows. Commits are never changed, so it stays true. */
  const ends = createRecent<string, number>(10_000);

  async function findOnce({ handler, messageId }: Once): Promise<Commit | undefined> {
    const found = await commits().findOne({ 'once.handler': handler, 'once.messageId': messageId });
    return found ? toCommit(found) : undefined;
  }

  /** Stands for the conflict: by the claim if there is one, else by the version. */
  async function conflict(document: CommitDocument): Promise<AlreadyHandledError | ConcurrencyError> {
    const earlier = document.once && (await findOnce(document.once));
    return earlier
      ? new AlreadyHandledError(earlier)
      : new ConcurrencyError(document.aggregateId, document.from - 1);
  }

  async function insert(document: CommitDocument): Promise<void> {
    const patience = createPatience();
    for (;;) {
      try {
        await commits().insertOne(document);
        return;
      } catch (error) {
        if (isDuplicateKey(error)) {
          const found = await retrying(() => commits().findOne({ _id: document._id }));
          if (found && found.events[0]?.id === document.events[0]?.id) return;
          const reason = await retrying(() => conflict(document));
          if (found || reason instanceof AlreadyHandledError) throw reason;
          // What is in the way is not yet acknowledged by a majority, and it may be ours: ask again.
        } else if (isTooLarge(error)) {
          throw new AppendInvalidError(
            `${document._id} is larger than a document may be: append it in parts`,
            {
              cause: error,
            },
          );
        } else if (!isTransient(error)) {
          throw error;
        }
        if (!(await patience.another())) {
          throw new AppendUnknownError(`the database did not say whether ${document._id} is stored`, {
            cause: error,
          });
        }
      }
    }
  }

  return {
    async init() {
      await ensureCollection(connection, COMMITS, [
        // Not unique: `_id` is, and what lies end to end from unique starts has unique ends. (Unique costs 15 % of an insert.)
        { key: { aggregateId: 1, to: 1 }, name: 'aggregate' },
        {
          key: { 'once.handler': 1, 'once.messageId': 1 },
          name: 'once',
          unique: true,
          partialFilterExpression: { 'once.messageId': { $exists: true } },
        },
        // `pending` is no part of the key: DocumentDB would look through all that is pending for each aggregate.
        {
          key: { aggregateId: 1, from: 1 },
          name: 'pending',
          partialFilterExpression: { pending: true },
        },
      ]);
    },

    async append(aggregateId, expectedVersion, events, { headIsKnown = false, ...options }) {
      checkArguments(aggregateId, expectedVersion, events, options);
      const trace = captureTrace?.() ?? {};
      const document: CommitDocument = {
        _id: commitId(aggregateId, expectedVersion + 1),
        aggregateId,
        from: expectedVersion + 1,
        to: expectedVersion + events.length,
        at: clock(),
        source,
        events: events.map(({ type, data, schemaVersion }) => ({
          id: randomUUID(),
          type,
          schemaVersion: schemaVersion ?? catalogue.get(type)?.newest ?? 1,
          data: jsonOf(type, data),
        })),
        correlationId: options.correlationId,
        ...(options.causationId !== undefined && { causationId: options.causationId }),
        ...(options.once && { once: { handler: options.once.handler, messageId: options.once.messageId } }),
        ...(Object.keys(trace).length > 0 && { trace }),
        pending: true,
      };
      for (const event of document.events) catalogue.validate(event);

      if (expectedVersion > 0 && !headIsKnown && ends.get(aggregateId) !== expectedVersion) {
        const head = await retrying(() =>
          commits().findOne({ aggregateId, to: expectedVersion }, { projection: { _id: 1 } }),
        );
        if (!head) throw await retrying(() => conflict(document));
      }
      await insert(document);
      ends.set(aggregateId, document.to);
      return toCommit(document);
    },

    async read(aggregateId, { from = 1, to } = {}) {
      const filter = { aggregateId, to: { $gte: from }, ...(to !== undefined && { from: { $lte: to } }) };
      const documents = await retrying(() =>
        commits().find(filter, { batchSize: READ_BATCH }).sort({ to: 1 }).toArray(),
      );
      checkEndToEnd(aggregateId, from, documents);
      return documents.map(toCommit);
    },

    async *readAll({ batchSize = READ_BATCH, after, signal } = {}) {
      let position = after;
      let patience = createPatience();
      for (;;) {
        const cursor = commits().find(afterPosition(position), { batchSize }).sort({ aggregateId: 1, to: 1 });
        try {
          for await (const document of cursor) {
            signal?.throwIfAborted();
            yield toCommit(document);
            position = { aggregateId: document.aggregateId, to: document.to };
            patience = createPatience();
          }
          return;
        } catch (error) {
          // A cursor does not survive a failover or a long pause of its reader; the position does.
          if (!(isTransient(error) || isLostCursor(error)) || !(await patience.another())) throw error;
          signal?.throwIfAborted();
        } finally {
          await cursor.close().catch(() => undefined);
        }
      }
    },

    findOnce: (once) => retrying(() => findOnce(once)),
    isEmpty: async () => (await commits().findOne({}, { projection: { _id: 1 } })) === null,
    estimate: () => commits().estimatedDocumentCount(),
  };
}

function afterPosition(position: Position | undefined): object {
  if (!position) return {};
  const { aggregateId, to } = position;
  return { $or: [{ aggregateId, to: { $gt: to } }, { aggregateId: { $gt: aggregateId } }] };
}

/** CursorNotFound, CursorInUse, and what a cursor says that its server forgot. */
function isLostCursor(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 43 || error.code === 12051);
}

function checkEndToEnd(aggregateId: string, wanted: number, documents: readonly CommitDocument[]): void {
  let end: number | undefined;
  for (const { from, to } of documents) {
    if (end === undefined ? from > wanted : from !== end + 1) {
      throw new LogCorruptError(`${aggregateId}: version ${from} follows version ${end ?? wanted - 1}`);
    }
    end = to;
  }
}

/** The server says it in words (MongoDB and FerretDB: code 2 or 10334), the driver when its buffer is too small. */
function isTooLarge(error: unknown): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: string };
  if (code === 'ERR_OUT_OF_RANGE') return true;
  return (code === 2 || code === 10334) && /too large|larger than/i.test(message ?? '');
}

/** Identifiers travel as headers and as keys of indexes: long enough for anybody, short enough for both. */
const MAX_ID = 200;

function checkArguments(
  aggregateId: string,
  expectedVersion: number,
  events: readonly NewEvent[],
  { correlationId, causationId, once }: AppendOptions,
): void {
  checkId('aggregateId', aggregateId);
  checkId('correlationId', correlationId);
  if (causationId !== undefined) checkId('causationId', causationId);
  if (once) {
    checkId('once.handler', once.handler);
    checkId('once.messageId', once.messageId);
  }
  if (!Number.isSafeInteger(expectedVersion) || expectedVersion < 0) {
    throw new AppendInvalidError(
      `the expected version must be a whole number from 0, but is ${expectedVersion}`,
    );
  }
  if (events.length === 0) throw new AppendInvalidError('there is no event to append');
}

function checkId(name: string, value: string): void {
  if (value.length === 0 || value.length > MAX_ID || !value.isWellFormed()) {
    throw new AppendInvalidError(`${name} must be a text of 1 to ${MAX_ID} characters`);
  }
}

function jsonOf(type: string, data: unknown): unknown {
  try {
    return plainJson(data);
  } catch (error) {
    throw new AppendInvalidError(`the data of ${type} cannot be written as JSON`, { cause: error });
  }
}
