/**
 * A controller: takes keys from its sources through one work queue and reconciles them, `workers` at a time, never the
 * same key twice at once.
 *
 * What a reconcile gives back, and what follows:
 *
 * | outcome                          | failures | the key comes again                                              |
 * |----------------------------------|----------|------------------------------------------------------------------|
 * | nothing, or `{}`                 | forgotten| when a source says so                                            |
 * | `{ requeueAfterMs: n }`, n > 0   | forgotten| after n ms (earlier if a source says so), at `Priority.Resync`   |
 * | `{ requeueAfterMs: 0 }` or less  | counted  | by the rate limiter                                              |
 * | throws an error, `terminal: true`| forgotten| when a source says so                                            |
 * | throws an error, `retryAfterMs`  | counted  | by the rate limiter, but not before `retryAfterMs`               |
 * | throws anything else             | counted  | by the rate limiter, at the priority that it had                 |
 *
 * `sync()` starts the sources and resolves when all have listed what exists; a standby does just that, so that it can
 * take over at once. `start()` syncs and then starts the workers. `stop()` lets what is being reconciled finish; when
 * four fifths of the deadline are over it aborts their signals; it never takes longer than the deadline. Called again, the
 * earlier deadline holds. A stopped controller stays stopped: make a new one.
 *
 * A reconcile that exceeds `reconcileTimeoutMs` has its signal aborted and counts as failed when it ends. One that ignores its
 * signal keeps its worker: JavaScript cannot be interrupted.
 */
import { aborted, linkSignals, sleep, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { isTerminal, ReconcileTimeoutError, retryAfterOf, StoppedError, SyncTimeoutError } from './errors.ts';
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { Priority } from './source.ts';
import type { Enqueue, EnqueueOptions, Source } from './source.ts';
import { WorkQueue } from './work-queue.ts';
import type { QueueObserver, Taken } from './work-queue.ts';

export interface Result {
  /** Come again after so many milliseconds although nothing changed. */
  requeueAfterMs?: number;
  /** The priority for that; default `Priority.Resync`, since nobody waits for it. */
  priority?: number;
}

export interface ReconcileContext {
  /** Aborts when the reconcile exceeds its time or the controller stops: pass it on to what you call. */
  signal: AbortSignal;
  /** Carries the controller's name and the key. */
  log: Log;
  /** Failures in a row before this attempt. */
  failures: number;
}

// `void` so that a reconcile may simply end.
// eslint-disable-next-line @typescript-eslint/no-invalid-void-type
export type Reconcile = (key: string, context: ReconcileContext) => Promise<Result | void>;

export type Outcome = 'success' | 'requeue' | 'requeue_after' | 'error';

/** What a controller reports; metrics.ts implements it. */
export interface ControllerObserver {
  queue: QueueObserver;
  /** Called once, so that gauges can look at the queue when they are read. */
  watch(queue: WorkQueue, workers: number): void;
  started(): void;
  finished(
    outcome: Outcome,
    seconds: number,
    what: { terminal: boolean; timedOut: boolean; panicked: boolean },
  ): void;
}

export interface ControllerOptions {
  /** A label: short and unique in the process. */
  name: string;
  reconcile: Reconcile;
  sources: Source[];
  /** Keys reconciled at the same time; default 1. */
  workers?: number;
  /** Default: no limit. */
  reconcileTimeoutMs?: number;
  /** How long the sources may take to list what exists; default 120,000. */
  syncTimeoutMs?: number;
  /** Everything again, every so often (jittered by a tenth), at `Priority.Resync`. */
  resync?: { everyMs: number; keys: () => Iterable<string> };
  rateLimiter?: RateLimiter;
  observer?: ControllerObserver;
  log?: Log;
  clock?: Clock;
}

export interface StopOptions {
  /** Milliseconds; default 30,000. */
  deadlineMs?: number;
  /** Abort what is being reconciled at once (the lease is lost) instead of letting it finish. */
  abort?: boolean;
}

export interface Controller extends AsyncDisposable {
  readonly name: string;
  /** All sources have listed what exists: what a readiness probe asks. */
  readonly synced: boolean;
  readonly queue: WorkQueue;
  sync(): Promise<void>;
  start(): Promise<void>;
  enqueue: Enqueue;
  /** `clean`: nothing was left running. */
  stop(options?: StopOptions): Promise<{ clean: boolean }>;
}

export function createController(options: ControllerOptions): Controller {
  return new RunningController(options);
}

class RunningController implements Controller {
  readonly name: string;
  readonly queue: WorkQueue;
  synced = false;
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Aborts when nothing new is to begin. */
  readonly #stopping = new AbortController();
  /** Aborts what is being reconciled. */
  readonly #aborting = new AbortController();
  /** Aborts when what still runs is waited for no longer. */
  readonly #over = new AbortController();
  readonly #workers: Promise<void>[] = [];
  #syncing: Promise<void> | undefined;
  #starting: Promise<void> | undefined;
  #stopped: Promise<{ clean: boolean }> | undefined;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = (options.log ?? silentLog).child({ controller: options.name });
    this.queue = new WorkQueue({
      clock: this.#clock,
      ...(options.rateLimiter === undefined ? {} : { rateLimiter: options.rateLimiter }),
      ...(options.observer === undefined ? {} : { observer: options.observer.queue }),
    });
    options.observer?.watch(this.queue, options.workers ?? 1);
  }

  enqueue = (key: string, options?: EnqueueOptions): void => this.queue.add(key, options);

  sync(): Promise<void> {
    this.#syncing ??= this.#sync();
    return this.#syncing;
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(options: StopOptions = {}): Promise<{ clean: boolean }> {
    if (options.abort === true) this.#abort();
    this.#stopped ??= this.#stop();
    void this.#limit(options.deadlineMs ?? 30_000);
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #sync(): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    const { sources, syncTimeoutMs = 120_000 } = this.#options;
    for (const source of sources) source.start(this.enqueue);
    const waiting = linkSignals(this.#stopping.signal);
    const late = sleep(this.#clock, syncTimeoutMs, waiting.signal);
    const all = Promise.all(sources.map((source) => source.synced)).then(() => true);
    try {
      const synced = await Promise.race([all, late.then(() => false)]);
      if (this.#stopping.signal.aborted)
        throw new StoppedError(`controller ${this.name} was stopped before it had synced`);
      if (!synced) {
        throw new SyncTimeoutError(
          `controller ${this.name}: not every source had synced after ${syncTimeoutMs} ms`,
        );
      }
      this.synced = true;
    } finally {
      waiting.controller.abort();
      waiting.release();
    }
  }

  async #start(): Promise<void> {
    await this.sync();
    this.#stopping.signal.throwIfAborted();
    const { workers = 1, resync } = this.#options;
    this.#log.info({ workers }, 'controller started');
    for (let i = 0; i < workers; i += 1) this.#workers.push(this.#work());
    if (resync !== undefined) this.#workers.push(this.#resync(resync));
  }

  async #stop(): Promise<{ clean: boolean }> {
    this.#stopping.abort(new StoppedError(`controller ${this.name} is being stopped`));
    this.queue.shutDown();
    const ended = Promise.allSettled([
      ...this.#options.sources.map((source) => source.stop()),
      this.queue.idle(),
      ...this.#workers,
    ]).then((results) => {
      for (const result of results) {
        if (result.status === 'rejected')
          this.#log.warn(describeError(result.reason), 'a source did not stop well');
      }
      return true;
    });
    const clean = await Promise.race([ended, aborted(this.#over.signal).then(() => false)]);
    this.#over.abort();
    this.synced = false;
    this.#log.info({ clean }, 'controller stopped');
    return { clean };
  }

  async #limit(deadlineMs: number): Promise<void> {
    await sleep(this.#clock, deadlineMs * 0.8, this.#over.signal);
    if (this.#over.signal.aborted) return;
    this.#abort();
    await sleep(this.#clock, deadlineMs * 0.2, this.#over.signal);
    this.#over.abort();
  }

  #abort(): void {
    this.#aborting.abort(new StoppedError(`controller ${this.name} is being stopped`));
  }

  async #resync({ everyMs, keys }: { everyMs: number; keys: () => Iterable<string> }): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await sleep(this.#clock, everyMs * (0.9 + Math.random() * 0.2), signal);
      if (signal.aborted) return;
      try {
        for (const key of keys()) this.queue.add(key, { priority: Priority.Resync });
      } catch (error) {
        this.#log.error(describeError(error), 'the keys to resync could not be listed');
      }
    }
  }

  async #work(): Promise<void> {
    for (let taken = await this.queue.take(); taken !== undefined; taken = await this.queue.take()) {
      try {
        await this.#reconcile(taken);
      } finally {
        this.queue.done(taken.key);
      }
    }
  }

  async #reconcile({ key, priority }: Taken): Promise<void> {
    const { reconcile, reconcileTimeoutMs, observer } = this.#options;
    const log = this.#log.child({ key });
    const { controller, signal, release } = linkSignals(this.#aborting.signal);
    const timedOut = () => signal.reason instanceof ReconcileTimeoutError;
    const cancelTimer =
      reconcileTimeoutMs === undefined
        ? undefined
        : this.#clock.after(reconcileTimeoutMs, () => {
            log.warn({ reconcileTimeoutMs }, 'the reconcile takes too long and is being aborted');
            controller.abort(
              new ReconcileTimeoutError(`${key}: not reconciled within ${reconcileTimeoutMs} ms`),
            );
          });
    const begun = this.#clock.now();
    const report = (outcome: Outcome, terminal = false, panicked = false) =>
      observer?.finished(outcome, (this.#clock.now() - begun) / 1000, {
        terminal,
        timedOut: timedOut(),
        panicked,
      });
    observer?.started();
    try {
      const result = (await reconcile(key, { signal, log, failures: this.queue.failures(key) })) ?? {};
      // Even when the reconcile swallowed the abort, its time was over: what it did may be half of what it should have.
      if (timedOut()) throw signal.reason as Error;
      if (result.requeueAfterMs === undefined) {
        this.queue.forget(key);
        report('success');
      } else if (result.requeueAfterMs > 0) {
        this.queue.forget(key);
        this.queue.add(key, { afterMs: result.requeueAfterMs, priority: result.priority ?? Priority.Resync });
        report('requeue_after');
      } else {
        this.queue.addRateLimited(key, { priority: result.priority ?? priority });
        report('requeue');
      }
    } catch (error) {
      const terminal = isTerminal(error) && !timedOut();
      report('error', terminal, !(error instanceof Error));
      if (this.#aborting.signal.aborted) {
        log.debug(describeError(error), 'the reconcile was aborted, because the controller stops');
      } else if (terminal) {
        this.queue.forget(key);
        log.error(
          describeError(error),
          'the reconcile failed and will not be retried until something changes',
        );
      } else {
        this.queue.addRateLimited(key, { priority, atLeastMs: retryAfterOf(error) });
        log.warn(
          { ...describeError(error), failures: this.queue.failures(key) },
          'the reconcile failed and will be retried',
        );
      }
    } finally {
      cancelTimer?.();
      release();
    }
  }
}
