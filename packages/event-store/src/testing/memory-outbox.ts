/**
 * For tests of the relay: an outbox in memory, seen by several processes, each of which can fail between any two lines.
 * (The real outbox is tested on a real database; a database that dies on command between two lines does not exist.)
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Event } from '@warren/contracts';
import type { Commit } from '../commit.ts';
import type { Outbox } from '../outbox.ts';
import type { ProjectionFailure } from '../projector.ts';
import type { RelayStore } from '../relay.ts';

export type Operation = keyof Outbox | 'hold' | 'release';

/** What goes wrong in one process. Throws or waits; `after` means that the database has done it. */
export interface Faults {
  before?(operation: Operation): Promise<void> | void;
  after?(operation: Operation): Promise<void> | void;
  /** What `ensureProjected` reports. */
  unprojected?(commits: readonly Commit[]): ProjectionFailure[];
}

export interface MemoryProcess extends RelayStore {
  /** Appends a commit of so many events, and wakes this process's relay. */
  append(aggregateId: string, events?: number): Commit;
}

export interface MemoryOutbox {
  /** A process that uses this database. */
  process(faults?: Faults): MemoryProcess;
  readonly commits: readonly Commit[];
  readonly pending: ReadonlySet<string>;
  /** How often each operation was begun. */
  readonly calls: Readonly<Record<string, number>>;
  /** What time does: the lease of the sweep runs out. */
  expireLease(): void;
  /** Called when a commit is being marked. */
  onMark?: (commit: Commit) => void;
}

export function memoryOutbox(): MemoryOutbox {
  const commits: Commit[] = [];
  const pending = new Set<string>();
  const calls: Record<string, number> = {};
  const storedAt = new Map<string, number>();
  let lease: string | undefined;

  /** In the order of the real one: by aggregate, then by version. */
  const pendingInOrder = (): Commit[] =>
    commits
      .filter(({ id }) => pending.has(id))
      .sort((a, b) =>
        a.aggregateId === b.aggregateId ? a.from - b.from : a.aggregateId < b.aggregateId ? -1 : 1,
      );

  const memory: MemoryOutbox = {
    commits,
    pending,
    calls,
    expireLease: () => void (lease = undefined),

    process(faults = {}) {
      const listeners = new Set<(commit: Commit) => void>();
      const run = async <T>(operation: Operation, work: () => T): Promise<T> => {
        calls[operation] = (calls[operation] ?? 0) + 1;
        await nextTurn();
        await faults.before?.(operation);
        const result = work();
        await faults.after?.(operation);
        return result;
      };

      const outbox: Outbox = {
        pendingAggregates: ({ after, limit, minAgeMs }) =>
          run('pendingAggregates', () => {
            const found = pendingInOrder()
              .filter(({ aggregateId }) => after === undefined || aggregateId > after)
              .slice(0, limit);
            const old = found.filter(({ id }) => performance.now() - (storedAt.get(id) ?? 0) >= minAgeMs);
            const next = found.length === limit ? found.at(-1)?.aggregateId : undefined;
            return {
              aggregateIds: [...new Set(old.map(({ aggregateId }) => aggregateId))],
              ...(next !== undefined && { next }),
            };
          }),
        pendingCommits: (aggregateIds, limit) =>
          run('pendingCommits', () => {
            const found = pendingInOrder().filter(({ aggregateId }) => aggregateIds.includes(aggregateId));
            return { commits: found.slice(0, limit), more: found.length >= limit };
          }),
        ensureProjected: (ensured) => run('ensureProjected', () => faults.unprojected?.(ensured) ?? []),
        mark: (commitIds) =>
          run('mark', () => {
            for (const id of commitIds) {
              const commit = commits.find((one) => one.id === id);
              if (commit && pending.delete(id)) memory.onMark?.(commit);
            }
          }),
        backlog: () => run('backlog', () => ({ count: pending.size, oldestAgeMs: 0 })),
        sweepLease: {
          hold: (holder) => run('hold', () => (lease ??= holder) === holder),
          release: (holder) =>
            run('release', () => {
              if (lease === holder) lease = undefined;
            }),
        },
      };

      return {
        outbox,
        onAppended(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
        append(aggregateId, count = 1) {
          const head = commits.filter((commit) => commit.aggregateId === aggregateId).at(-1)?.to ?? 0;
          const commit = memoryCommit(aggregateId, head + 1, count);
          commits.push(commit);
          pending.add(commit.id);
          storedAt.set(commit.id, performance.now());
          for (const listener of listeners) listener(commit);
          return commit;
        },
      };
    },
  };
  return memory;
}

function memoryCommit(aggregateId: string, from: number, count: number): Commit {
  const at = new Date();
  const events = Array.from({ length: count }, (_, index): Event => ({
    id: `${aggregateId}#${from + index}`,
    type: 'ThingHappened',
    schemaVersion: 1,
    aggregateId,
    version: from + index,
    timestamp: at.toISOString(),
    source: 'test',
    data: {},
    correlationId: 'c1',
  }));
  return { id: `${aggregateId}@${from}`, aggregateId, from, to: from + count - 1, at, events };
}
