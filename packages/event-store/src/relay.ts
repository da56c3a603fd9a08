/**
 * The relay publishes what the outbox holds: of each aggregate in order, of many aggregates at once.
 *
 * **A lane** is one aggregate on its way. It is queued, then busy (its pending commits are read, published one event
 * after another, each after the confirm of the one before, then marked), then gone; or held, when a publication
 * failed: it tries again after a jittered back-off that doubles, and the other lanes go on meanwhile. There is room for
 * so many that are held, and for as many that are on their way: what finds none is the sweep's.
 *
 * **Who finds work.** An append of this process wakes its aggregate's lane at once. What others left behind (they
 * died, or could not publish) is found by the sweep, which looks at everything that has been pending for `graceMs`.
 *
 * **Several replicas** need no agreement. Each publishes what it appended; one of them, by a lease, sweeps. Two that
 * publish the same commit make a duplicate, which carries the same event id. The order that a consumer needs holds all
 * the same: a relay publishes version n + 1 only after version n was confirmed to it, or was marked by another. So
 * every version's first copy comes in order, and a consumer that drops what it has seen sees the aggregate in order.
 *
 * **Nothing is lost:** a commit is marked only after every event of it was confirmed and every projection has it. A crash
 * anywhere before leaves it pending, and an unknown outcome counts as a failure: at worst it is published again.
 */
import { randomUUID } from 'node:crypto';
import type { Event } from '@warren/contracts';
import { backoffMs, within } from './backoff.ts';
import type { Backoff } from './backoff.ts';
import type { Commit } from './commit.ts';
import { createMarker } from './marker.ts';
import type { Backlog, Outbox } from './outbox.ts';

/** What the relay needs of an event store. */
export interface RelayStore {
  readonly outbox: Outbox;
  onAppended(listener: (commit: { readonly aggregateId: string }) => void): () => void;
}

export interface RelayObserver {
  published?(event: Event): void;
  marked?(commits: number): void;
  /** An aggregate could not go on; it will after `retryInMs`, or when the sweep finds it. `failures` in a row, from 1. */
  held?(held: {
    readonly aggregateId: string;
    readonly error: unknown;
    readonly failures: number;
    readonly retryInMs: number;
  }): void;
  /** The database could not be asked; the relay goes on. */
  failed?(error: unknown): void;
}

export interface RelayOptions {
  readonly store: RelayStore;
  /** Resolves when the broker has the event safe and routed; anything else rejects. Must not hang for ever. */
  readonly publish: (event: Event) => Promise<void>;
  /** How often the sweep looks; 1000. */
  readonly pollMs?: number;
  /** How many commits are read or marked at once; 500. */
  readonly batch?: number;
  /** How many aggregates are on their way at once; 256. */
  readonly window?: number;
  /** How many aggregates are remembered at once that wait for their turn, and how many that are held; 10,000. */
  readonly maxLanes?: number;
  /** What the sweep leaves to the process that appended it; 2000. */
  readonly graceMs?: number;
  /** After how long without a sign another replica sweeps; 6000. */
  readonly leaseMs?: number;
  /** An event that no queue takes stays and is tried again; there is no other choice (ADR 0004). */
  readonly unroutable?: 'hold';
  readonly backoff?: Backoff;
  readonly observer?: RelayObserver;
}

export interface Relay extends AsyncDisposable {
  start(): void;
  /**
   * Looks at once: at one aggregate, or at everything that is pending, also what is held. The latter is for when the
   * reason to hold may be gone, such as the broker being back.
   */
  wake(aggregateId?: string): void;
  /** Waits until nothing is on its way but what is held; false when the deadline came first. */
  drain(deadlineMs: number): Promise<boolean>;
  /**
   * Publishes no more, marks what is confirmed within the deadline (2000), and leaves the rest to the next start.
   * A stopped relay cannot be started again.
   */
  stop(deadlineMs?: number): Promise<void>;
  backlog(): Promise<Backlog>;
}

interface Lane {
  readonly aggregateId: string;
  state: 'queued' | 'busy' | 'held';
  /** Woken while busy: there may be more. */
  again: boolean;
  /** Up to here it is confirmed, though perhaps not marked. */
  publishedTo: number;
  failures: number;
  timer?: NodeJS.Timeout;
}

/** How many batches a page of the sweep has: finding what is pending costs the same whatever the page's size. */
const SWEEP_PAGE = 10;

export function createRelay({
  store,
  publish,
  pollMs = 1000,
  batch = 500,
  window = 256,
  maxLanes = 10_000,
  graceMs = 2000,
  leaseMs = 6000,
  backoff = { initialMs: 100, maxMs: 30_000 },
  observer = {},
}: RelayOptions): Relay {
  const { outbox } = store;
  const holder = randomUUID();
  const lanes = new Map<string, Lane>();
  const queue = new Set<Lane>();
  const held = new Set<Lane>();
  const work = new Set<Promise<unknown>>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let busy = 0;
  let reading = false;
  let startedAt: number | undefined;
  let stopped: Promise<void> | undefined;
  let unsubscribe: (() => void) | undefined;
  const onIdle: (() => void)[] = [];

  const observe = (call: () => void): void => {
    try {
      call();
    } catch {
      // An observer's failure is its own.
    }
  };
  const failed = (error: unknown): void => observe(() => observer.failed?.(error));
  const marker = createMarker({
    mark: (commitIds) => outbox.mark(commitIds),
    batch,
    signal,
    onMarked: (count) => observe(() => observer.marked?.(count)),
    onError: failed,
  });

  /** Keeps hold of what runs on its own, so that `stop` can wait for it and no rejection goes unheard. */
  function own(running: Promise<unknown>): void {
    const settled: Promise<unknown> = running.catch(failed).finally(() => work.delete(settled));
    work.add(settled);
  }

  function enqueue(aggregateId: string, { found = false } = {}): void {
    const lane = lanes.get(aggregateId);
    if (lane) {
      if (lane.state === 'busy' && !found) lane.again = true;
      return;
    }
    // The sweep finds the rest: an outage must not fill the memory.
    if (lanes.size - held.size >= maxLanes) return;
    const fresh: Lane = { aggregateId, state: 'queued', again: false, publishedTo: 0, failures: 0 };
    lanes.set(aggregateId, fresh);
    queue.add(fresh);
  }

  /**
   * Starts as many queued lanes as the window has room for, with one read for all of them. What is queued while that
   * read is under way waits for the next: the busier it is, the fewer reads a commit costs.
   */
  function pump(): void {
    if (!reading && startedAt !== undefined && !signal.aborted && queue.size > 0 && busy < window) {
      const taken = [...queue].slice(0, Math.min(batch, window - busy));
      for (const lane of taken) {
        queue.delete(lane);
        lane.state = 'busy';
        lane.again = false;
      }
      busy += taken.length;
      reading = true;
      own(run(taken));
    }
    if (queue.size > 0) return;
    if (moreToSweep) sweepSoon.resolve(undefined);
    if (busy === 0) {
      for (const idle of onIdle.splice(0)) idle();
    }
  }

  async function run(taken: readonly Lane[]): Promise<void> {
    let commits: readonly Commit[];
    let more: boolean;
    try {
      ({ commits, more } = await outbox.pendingCommits(
        taken.map(({ aggregateId }) => aggregateId),
        batch,
      ));
    } catch (error) {
      failed(error);
      reading = false;
      for (const lane of taken) settle(lane, error);
      return;
    }
    reading = false;
    // Publishing does not wait for projections; marking does.
    const unprojected = outbox.ensureProjected(commits).then(
      (failures) => ({ failures }),
      (error: unknown) => ({ error }),
    );
    const byAggregate = Map.groupBy(commits, ({ aggregateId }) => aggregateId);
    for (const lane of taken) {
      if (more) lane.again = true;
      own(
        advance(lane, byAggregate.get(lane.aggregateId) ?? [], unprojected).then(
          (failure) => settle(lane, failure),
          (error: unknown) => settle(lane, error),
        ),
      );
    }
    pump();
  }

  /** Publishes a lane's commits and marks those that are done; returns what it stumbled over. */
  async function advance(lane: Lane, commits: readonly Commit[], unprojected: Unprojected): Promise<unknown> {
    let failure: unknown;
    const published: Commit[] = [];
    publishing: for (const commit of commits) {
      for (const event of commit.events) {
        if (event.version <= lane.publishedTo) continue;
        if (signal.aborted) {
          failure = signal.reason;
          break publishing;
        }
        try {
          await publish(event);
        } catch (error) {
          failure = error ?? new Error('publish failed without a reason');
          break publishing;
        }
        lane.publishedTo = event.version;
        lane.failures = 0;
        observe(() => observer.published?.(event));
      }
      published.push(commit);
    }

    const outcome = await unprojected;
    if ('error' in outcome) {
      if (commits.length > 0) failure ??= outcome.error;
      return failure;
    }
    const [behind] = outcome.failures
      .filter(({ commit }) => commit.aggregateId === lane.aggregateId)
      .sort((a, b) => a.commit.from - b.commit.from);
    failure ??= behind?.error;
    const done = behind ? published.filter(({ from }) => from < behind.commit.from) : published;
    // Also while stopping: what is marked now is not published a second time.
    await marker.add(done.map(({ id }) => id));
    return failure;
  }

  function settle(lane: Lane, failure: unknown): void {
    busy--;
    if (!signal.aborted) {
      if (failure !== undefined) hold(lane, failure);
      else if (lane.again) {
        lane.failures = 0;
        requeue(lane);
      } else lanes.delete(lane.aggregateId);
    }
    pump();
  }

  function hold(lane: Lane, error: unknown): void {
    lane.state = 'held';
    held.add(lane);
    lane.failures++;
    const retryInMs = backoffMs(lane.failures, backoff);
    lane.timer = setTimeout(() => {
      requeue(lane);
      pump();
    }, retryInMs);
    const { aggregateId, failures } = lane;
    observe(() => observer.held?.({ aggregateId, error, failures, retryInMs }));
    if (held.size > maxLanes) forget(dispensable(lane));
  }

  /** Leaves a held lane to the sweep. */
  function forget(lane: Lane): void {
    clearTimeout(lane.timer);
    held.delete(lane);
    lanes.delete(lane.aggregateId);
  }

  /** One of which nothing was confirmed, if there is one: what another has confirmed would be published again. */
  function dispensable(newest: Lane): Lane {
    if (newest.publishedTo === 0) return newest;
    for (const lane of held) {
      if (lane.publishedTo === 0) return lane;
    }
    return newest;
  }

  function requeue(lane: Lane): void {
    clearTimeout(lane.timer);
    held.delete(lane);
    lane.state = 'queued';
    queue.add(lane);
  }

  // --- The sweep ---

  let sweepSoon = Promise.withResolvers<undefined>();
  /** Asked for by `wake`: everything that is pending, whatever its age and whoever has the lease. */
  let sweepAll = false;
  /** There is a next page, to be read as soon as this one is through. */
  let moreToSweep = false;

  async function sweep(): Promise<void> {
    let after: string | undefined;
    let all = false;
    while (!signal.aborted) {
      try {
        if (sweepAll) {
          sweepAll = false;
          all = true;
          after = undefined;
        }
        if (all || (await mayISweep())) {
          const page = await outbox.pendingAggregates({
            ...(after !== undefined && { after }),
            limit: Math.min(batch * SWEEP_PAGE, maxLanes),
            minAgeMs: all ? 0 : graceMs,
          });
          after = page.next;
          const before = lanes.size;
          for (const aggregateId of page.aggregateIds) enqueue(aggregateId, { found: true });
          // A page in which nothing was new is no reason to hurry, nor are those for which there was no room.
          moreToSweep = after !== undefined && (all || (lanes.size > before && held.size < maxLanes));
          all &&= after !== undefined;
          pump();
        }
      } catch (error) {
        failed(error);
      }
      await untilNextSweep();
    }
  }

  /**
   * In its first moments a relay sweeps without asking: the lease may be its own, of before a crash, and two that sweep
   * are harmless.
   */
  async function mayISweep(): Promise<boolean> {
    const leased = await outbox.sweepLease.hold(holder, leaseMs);
    return leased || performance.now() - (startedAt ?? 0) < leaseMs + graceMs;
  }

  async function untilNextSweep(): Promise<void> {
    const jittered = pollMs * (0.8 + Math.random() * 0.4);
    await within(jittered, sweepSoon.promise, signal);
    sweepSoon = Promise.withResolvers();
    moreToSweep = false;
    if (sweepAll) sweepSoon.resolve(undefined);
  }

  // --- The outside ---

  async function end(deadlineMs: number): Promise<void> {
    stopping.abort(new Error('the relay was stopped'));
    unsubscribe?.();
    for (const { timer } of held) clearTimeout(timer);
    for (const idle of onIdle.splice(0)) idle();
    const settled = async (): Promise<void> => {
      while (work.size > 0) await Promise.allSettled(work);
      if (startedAt !== undefined) await outbox.sweepLease.release(holder).catch(failed);
    };
    await within(deadlineMs, settled());
  }

  const relay: Relay = {
    start() {
      if (startedAt !== undefined || signal.aborted) return;
      startedAt = performance.now();
      unsubscribe = store.onAppended(({ aggregateId }) => relay.wake(aggregateId));
      own(sweep());
      pump();
    },

    wake(aggregateId) {
      if (signal.aborted) return;
      if (aggregateId === undefined) {
        for (const lane of held) requeue(lane);
        sweepAll = true;
        sweepSoon.resolve(undefined);
        pump();
        return;
      }
      enqueue(aggregateId);
      pump();
    },

    async drain(deadlineMs) {
      if (busy === 0 && queue.size === 0) return true;
      const idle = new Promise<void>((resolve) => onIdle.push(resolve));
      return await within(deadlineMs, idle);
    },

    stop: (deadlineMs = 2000) => (stopped ??= end(deadlineMs)),

    backlog: () => outbox.backlog(),
    [Symbol.asyncDispose]: () => relay.stop(),
  };
  return relay;
}

type Unprojected = Promise<
  | { readonly failures: readonly { readonly commit: Commit; readonly error: unknown }[] }
  | { readonly error: unknown }
>;
