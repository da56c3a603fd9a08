/**
 * The event store of one service: its log, its projections and its outbox, in one database.
 *
 * See README.md for what holds at each point where a process may die.
 */
import type { Catalogue, Event, NewEvent } from '@warren/contracts';
import type { Connection } from 'mongoose';
import { upcastEvents } from './commit.ts';
import type { Commit, Once, Trace } from './commit.ts';
import { execute } from './decider.ts';
import type { Decider, ExecuteOptions, Outcome } from './decider.ts';
import { createLog } from './log.ts';
import type { AppendOptions, Position } from './log.ts';
import { OneByOne } from './one-by-one.ts';
import { createOutbox } from './outbox.ts';
import type { Outbox } from './outbox.ts';
import { createProjectionReader } from './projection-reader.ts';
import type { ProjectionReader } from './projection-reader.ts';
import { createProjectionRegistry } from './projection-registry.ts';
import type { AnyProjection, Projection } from './projection.ts';
import { createProjector } from './projector.ts';
import { complete, rebuild } from './rebuild.ts';
import type { RebuildOptions, RebuildProgress } from './rebuild.ts';

export interface EventStoreOptions {
  /** An open mongoose connection; the store uses its database, and does not close it. */
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  /** The name of the service, as it appears in events. */
  readonly source: string;
  readonly projections?: readonly AnyProjection[];
  /** The trace context of the caller, kept in the commit so that the publication continues the trace. */
  readonly captureTrace?: () => Trace;
  readonly clock?: () => Date;
  /** Told when a projection could not be updated right after an append; the relay will try again. */
  readonly onProjectionError?: (error: unknown, commit: Commit) => void;
}

export interface EventStore {
  readonly catalogue: Catalogue;
  /**
   * Makes collections and indexes. A projection that is new to a log with events in it is built before this returns.
   */
  init(options?: RebuildOptions): Promise<void>;
  /**
   * Appends events to an aggregate that is at `expectedVersion` (0: it does not exist yet), and applies projections.
   * @throws {ConcurrencyError} when the aggregate is not at that version.
   * @throws {AlreadyHandledError} when `once` was claimed before, whatever the version.
   * @throws {ContractError} when data breaks its schema; {AppendInvalidError}; {AppendUnknownError}.
   */
  append(
    aggregateId: string,
    expectedVersion: number,
    events: readonly NewEvent[],
    options: AppendOptions,
  ): Promise<Commit>;
  /** The events of an aggregate from version `from` (1) on, upcast to the newest schemas; empty when there are none. */
  read(aggregateId: string, options?: { readonly from?: number }): Promise<Event[]>;
  /** Every commit, of each aggregate in order; `after` goes on where an earlier run stopped. Its events are as stored. */
  readAll(options?: {
    readonly batchSize?: number;
    readonly after?: Position;
    readonly signal?: AbortSignal;
  }): AsyncIterable<Commit>;
  /** What a handler appended because of a message, if it has. */
  findOnce(once: Once): Promise<Commit | undefined>;
  execute<State, Command, E extends Event = Event>(
    decider: Decider<State, Command, E>,
    aggregateId: string,
    command: Command,
    options: ExecuteOptions,
  ): Promise<Outcome<State>>;
  /** Calls back after each append of this process; returns what ends it. */
  onAppended(listener: (commit: Commit) => void): () => void;
  /** Reads a projection. */
  projection<Doc extends object>(projection: Projection<Doc>): ProjectionReader<Doc>;
  rebuildProjections(options?: RebuildOptions): Promise<RebuildProgress>;
  readonly outbox: Outbox;
}

export function createEventStore({
  connection,
  catalogue,
  source,
  projections = [],
  captureTrace,
  clock = () => new Date(),
  onProjectionError,
}: EventStoreOptions): EventStore {
  const log = createLog({ connection, catalogue, source, captureTrace, clock });
  const registry = createProjectionRegistry(connection);
  const projector = createProjector({ connection, catalogue, log, registry, projections });
  const listeners = new Set<(commit: Commit) => void>();
  const commands = new OneByOne();
  const parts = { connection, catalogue, log, registry, projector, projections };

  async function append(
    aggregateId: string,
    expectedVersion: number,
    events: readonly NewEvent[],
    options: AppendOptions & { readonly headIsKnown?: boolean },
  ): Promise<Commit> {
    const commit = await log.append(aggregateId, expectedVersion, events, options);
    // From here on the commit is a fact: nothing below may fail the append.
    try {
      await projector.applyFresh(commit);
    } catch (error) {
      tell(() => onProjectionError?.(error, commit));
    }
    for (const listener of listeners) tell(() => listener(commit));
    return commit;
  }

  return {
    catalogue,

    async init(options) {
      await log.init();
      const incomplete = [];
      for (const projection of projections) {
        const entry = await registry.register(projection);
        if (!entry.complete) incomplete.push(entry._id);
      }
      if (incomplete.length === 0) return;
      // Looked at after the entries are there: what comes from now on is a relay's business, which finds them.
      if (await log.isEmpty()) {
        await registry.markComplete(incomplete);
        return;
      }
      await complete(parts, incomplete, options);
    },

    append: (aggregateId, expectedVersion, events, { correlationId, causationId, once }) =>
      append(aggregateId, expectedVersion, events, {
        correlationId,
        ...(causationId !== undefined && { causationId }),
        ...(once && { once }),
      }),

    async read(aggregateId, { from = 1 } = {}) {
      const commits = await log.read(aggregateId, { from });
      return upcastEvents(commits, catalogue).filter(({ version }) => version >= from);
    },

    readAll: (options) => log.readAll(options),
    findOnce: (once) => log.findOnce(once),

    execute: (decider, aggregateId, command, options) =>
      commands.run(aggregateId, () =>
        execute(
          {
            catalogue,
            append,
            readCommits: (id, range) => log.read(id, range),
            findOnce: (once) => log.findOnce(once),
          },
          decider,
          aggregateId,
          command,
          options,
        ),
      ),

    onAppended(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    projection: (projection) => createProjectionReader(projector, projection),
    rebuildProjections: (options) => rebuild(parts, options),
    outbox: createOutbox(connection, projector, clock),
  };
}

/** Rebuilds all projections, or some, beside the ones that are being read; then swaps. */
export function rebuildProjections(store: EventStore, options?: RebuildOptions): Promise<RebuildProgress> {
  return store.rebuildProjections(options);
}

/** A listener's failure is its own. */
function tell(call: () => void): void {
  try {
    call();
  } catch {
    // Nobody is left to tell.
  }
}
