/**
 * The outbox as the relay sees it: which aggregates have pending commits, the commits, and the mark.
 *
 * Found by state (`pending`), never by a cursor that could run past a commit that becomes visible late. Always in the
 * order of an aggregate's versions, never by a clock.
 */
import type mongoose from 'mongoose';
import type { Connection } from 'mongoose';
import { toCommit } from './commit.ts';
import type { Commit, CommitDocument } from './commit.ts';
import { collectionOf } from './database.ts';
import type { Collection } from './database.ts';
import { COMMITS } from './log.ts';
import type { ProjectionFailure, Projector } from './projector.ts';

export interface Backlog {
  /** Commits that are not yet projected and published; 10,000 when there are more. */
  readonly count: number;
  /** The age of the oldest of those that were counted; 0 when there is none. */
  readonly oldestAgeMs: number;
}

export interface Outbox {
  /**
   * Aggregates with commits that have been pending for `minAgeMs`, after `after` by name, and how far it looked:
   * `next` is where to go on, undefined at the end.
   */
  pendingAggregates(options: {
    readonly after?: string;
    readonly limit: number;
    readonly minAgeMs: number;
  }): Promise<{ readonly aggregateIds: readonly string[]; readonly next?: string }>;
  /** Their pending commits, of each aggregate the oldest first. At most `limit`; `more` tells when there are others. */
  pendingCommits(
    aggregateIds: readonly string[],
    limit: number,
  ): Promise<{ readonly commits: readonly Commit[]; readonly more: boolean }>;
  /** Makes certain that the commits are projected; returns where they are not, in no order. See `Projector.ensure`. */
  ensureProjected(commits: readonly Commit[]): Promise<readonly ProjectionFailure[]>;
  /** The commits are projected and published. */
  mark(commitIds: readonly string[]): Promise<void>;
  backlog(): Promise<Backlog>;
  /** The lease that keeps two relays from sweeping at once. */
  readonly sweepLease: SweepLease;
}

/**
 * Who looks for what others left behind. Nothing depends on there being only one: it saves duplicates. So it needs no
 * clock that two machines share: a holder counts `beat` up, and who sees the same beat for a whole lease, by its own
 * clock, takes over.
 */
export interface SweepLease {
  /** Takes, keeps or waits for the lease; true when this holder has it now. */
  hold(holder: string, leaseMs: number): Promise<boolean>;
  release(holder: string): Promise<void>;
}

interface LeaseDocument {
  readonly _id: string;
  readonly holder: string;
  readonly beat: number;
}

/** The larger a backlog, the more it matters that it can still be asked for. */
const MOST_COUNTED = 10_000;

const LEASES = 'leases';
const SWEEP = 'sweep';

export function createOutbox(connection: Connection, projector: Projector, clock: () => Date): Outbox {
  const commits = (): Collection<CommitDocument> => collectionOf<CommitDocument>(connection, COMMITS);
  const age = (at: Date): number => clock().getTime() - at.getTime();
  /** By another machine's clock. One that is far ahead must not hide a commit until the time has come. */
  const isOld = (at: Date, minAgeMs: number): boolean => Math.abs(age(at)) >= minAgeMs;

  return {
    async pendingAggregates({ after = '', limit, minAgeMs }) {
      const found = await commits()
        .find(pendingAfter(after), { projection: { aggregateId: 1, at: 1 }, batchSize: limit + 1 })
        .sort({ aggregateId: 1, from: 1 })
        .limit(limit)
        .toArray();
      const last = found.at(-1);
      const aggregateIds = new Set(
        found.filter(({ at }) => isOld(at, minAgeMs)).map(({ aggregateId }) => aggregateId),
      );
      return {
        aggregateIds: [...aggregateIds],
        ...(found.length === limit && last && { next: last.aggregateId }),
      };
    },

    async pendingCommits(aggregateIds, limit) {
      const found = await commits()
        .find({ pending: true, aggregateId: { $in: [...aggregateIds] } }, { batchSize: limit + 1 })
        .sort({ aggregateId: 1, from: 1 })
        .limit(limit)
        .toArray();
      return { commits: found.map(toCommit), more: found.length === limit };
    },

    ensureProjected: (projected) => projector.ensure(projected),

    async mark(commitIds) {
      await commits().updateMany({ _id: { $in: [...commitIds] } }, { $unset: { pending: '' } });
    },

    async backlog() {
      const [found] = await commits()
        .aggregate<{ readonly count: number; readonly oldest: Date }>(
          [
            { $match: pendingAfter('') },
            { $limit: MOST_COUNTED },
            { $group: { _id: null, count: { $sum: 1 }, oldest: { $min: '$at' } } },
          ],
          { maxTimeMS: 1000 },
        )
        .toArray();
      if (!found) return { count: 0, oldestAgeMs: 0 };
      return { count: found.count, oldestAgeMs: Math.max(0, age(found.oldest)) };
    },

    sweepLease: createSweepLease(connection, () => projector.stillThere()),
  };
}

/** The pending commits of aggregates beyond an id. Always with the id, which is what the index begins with. */
function pendingAfter(aggregateId: string): mongoose.mongo.Filter<CommitDocument> {
  return { pending: true, aggregateId: { $gt: aggregateId } };
}

/** `beat` is called as often as the lease is asked for: by every relay, as long as it lives. */
function createSweepLease(connection: Connection, beat: () => Promise<void>): SweepLease {
  const leases = (): Collection<LeaseDocument> => collectionOf<LeaseDocument>(connection, LEASES);
  /** The beat that was last seen of another holder, and since when by our own monotonic clock. */
  let watched: { holder: string; beat: number; since: number } | undefined;

  return {
    async hold(holder, leaseMs) {
      await beat();
      const found = await leases().findOne({ _id: SWEEP });
      if (!found) {
        await leases().updateOne({ _id: SWEEP }, { $setOnInsert: { holder, beat: 1 } }, { upsert: true });
        return (await leases().findOne({ _id: SWEEP }))?.holder === holder;
      }
      const take = async (): Promise<boolean> => {
        const taken = await leases().updateOne(
          { _id: SWEEP, holder: found.holder, beat: found.beat },
          { $set: { holder, beat: found.beat + 1 } },
        );
        return taken.matchedCount === 1;
      };
      if (found.holder === holder) return await take();
      const now = performance.now();
      if (watched?.holder !== found.holder || watched.beat !== found.beat) {
        watched = { holder: found.holder, beat: found.beat, since: now };
        return false;
      }
      return now - watched.since >= leaseMs && (await take());
    },

    async release(holder) {
      await leases().deleteOne({ _id: SWEEP, holder });
    },
  };
}
