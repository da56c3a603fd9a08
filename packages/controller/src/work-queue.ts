/**
 * The keys that are to be reconciled.
 *
 * - A key is in the queue once, however often it is added before it is taken.
 * - A key that has been taken is not handed out again until `done`; added meanwhile, it comes back then. So no two
 *   workers ever hold the same key, and no addition is lost.
 * - Higher priority first; equal priority first come, first served. An addition with a higher priority lifts a key
 *   that waits; a lower one never lowers it.
 * - A delayed key comes when it is due. An addition without delay takes it at once; of two delays the earlier counts.
 * - `addRateLimited` delays by the rate limiter, which counts failures until `forget`.
 * - `shutDown` hands out nothing more and forgets what waits (keys are levels: the next start finds them again);
 *   `idle` resolves when everything taken is done.
 */
import { systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { DelayedKeys } from './delayed.ts';
import { defaultRateLimiter } from './rate-limiter.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { Priority } from './source.ts';
import type { EnqueueOptions } from './source.ts';

/** What a queue reports; metrics.ts implements it. Durations in seconds. */
export interface QueueObserver {
  added(): void;
  retried(): void;
  taken(waitedSeconds: number): void;
  finished(workedSeconds: number): void;
}

export interface WorkQueueOptions {
  rateLimiter?: RateLimiter;
  clock?: Clock;
  observer?: QueueObserver;
}

/** How a failed key comes back. */
export interface RetryOptions {
  priority?: number;
  atLeastMs?: number;
}

/** A key that was taken, and the priority it had. */
export interface Taken {
  key: string;
  priority: number;
}

interface Waiting {
  key: string;
  priority: number;
  since: number;
  /** Moved to another priority: skipped when its turn comes. */
  moved: boolean;
}

/** First in, first out; a shift costs nothing. */
class Fifo {
  #items: Waiting[] = [];
  #head = 0;

  push(item: Waiting): void {
    this.#items.push(item);
  }

  shift(): Waiting | undefined {
    for (;;) {
      const item = this.#items[this.#head];
      if (item === undefined) {
        this.#items = [];
        this.#head = 0;
        return undefined;
      }
      this.#head += 1;
      if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
      if (!item.moved) return item;
    }
  }
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #limiter: RateLimiter;
  readonly #observer: QueueObserver | undefined;
  readonly #delayed: DelayedKeys;
  /** By priority, highest first. */
  #lines: { priority: number; fifo: Fifo }[] = [];
  readonly #waiting = new Map<string, Waiting>();
  readonly #taken = new Map<string, number>();
  /** Added while taken. */
  readonly #again = new Map<string, number>();
  #takers: ((taken: Taken | undefined) => void)[] = [];
  #idlers: (() => void)[] = [];
  #closed = false;

  constructor({ clock = systemClock, rateLimiter, observer }: WorkQueueOptions = {}) {
    this.#clock = clock;
    this.#limiter = rateLimiter ?? defaultRateLimiter(clock);
    this.#observer = observer;
    this.#delayed = new DelayedKeys(clock, (key, priority) => this.#addNow(key, priority));
  }

  /** Keys that could be taken now. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Whether this key waits to be taken, so that what is known by now is looked at by then. */
  has(key: string): boolean {
    return this.#waiting.has(key) || this.#again.has(key);
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** How long each key that is being worked on has been, in seconds. */
  get workingSeconds(): number[] {
    const now = this.#clock.now();
    return [...this.#taken.values()].map((since) => (now - since) / 1000);
  }

  add(key: string, { priority = Priority.Normal, afterMs = 0 }: EnqueueOptions = {}): void {
    if (this.#closed) return;
    if (afterMs <= 0) {
      this.#addNow(key, Math.max(priority, this.#delayed.take(key) ?? priority));
    } else if (this.#waiting.has(key) || this.#again.has(key)) {
      this.#addNow(key, priority);
    } else {
      this.#delayed.add(key, afterMs, priority);
    }
  }

  /** Adds a key that failed, after the rate limiter's delay or `atLeastMs`, whichever is longer. */
  addRateLimited(key: string, { priority = Priority.Normal, atLeastMs = 0 }: RetryOptions = {}): void {
    if (this.#closed) return;
    this.#observer?.retried();
    this.add(key, { priority, afterMs: Math.max(this.#limiter.next(key), atLeastMs) });
  }

  /** Failures in a row. */
  failures(key: string): number {
    return this.#limiter.failures(key);
  }

  /** The key is fine: its failures are forgotten. */
  forget(key: string): void {
    this.#limiter.forget(key);
  }

  /** The next key, as soon as there is one; undefined once the queue is shut down. */
  take(): Promise<Taken | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    const next = this.#next();
    if (next !== undefined) return Promise.resolve(this.#hand(next));
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Gives a taken key back. */
  done(key: string): void {
    const since = this.#taken.get(key);
    if (since === undefined) return;
    this.#taken.delete(key);
    this.#observer?.finished((this.#clock.now() - since) / 1000);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined && !this.#closed) this.#line(key, again);
    if (this.#taken.size === 0) this.#idlers.splice(0).forEach((resolve) => resolve());
  }

  shutDown(): void {
    this.#closed = true;
    this.#delayed.clear();
    this.#lines = [];
    this.#waiting.clear();
    this.#again.clear();
    this.#takers.splice(0).forEach((resolve) => resolve(undefined));
  }

  /** Resolves when no key is being worked on. */
  idle(): Promise<void> {
    if (this.#taken.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  #addNow(key: string, priority: number): void {
    if (this.#closed) return;
    if (this.#taken.has(key)) {
      const before = this.#again.get(key);
      if (before === undefined) this.#observer?.added();
      this.#again.set(key, Math.max(before ?? priority, priority));
      return;
    }
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      this.#observer?.added();
      this.#line(key, priority);
    } else if (priority > waiting.priority) {
      waiting.moved = true;
      this.#line(key, priority, waiting.since);
    }
  }

  #line(key: string, priority: number, since = this.#clock.now()): void {
    const item: Waiting = { key, priority, since, moved: false };
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker(this.#hand(item));
      return;
    }
    this.#waiting.set(key, item);
    let line = this.#lines.find((candidate) => candidate.priority === priority);
    if (line === undefined) {
      line = { priority, fifo: new Fifo() };
      this.#lines.push(line);
      this.#lines.sort((a, b) => b.priority - a.priority);
    }
    line.fifo.push(item);
  }

  #next(): Waiting | undefined {
    for (let line = this.#lines[0]; line !== undefined; line = this.#lines[0]) {
      const item = line.fifo.shift();
      if (item !== undefined) {
        this.#waiting.delete(item.key);
        return item;
      }
      this.#lines.shift();
    }
    return undefined;
  }

  #hand(item: Waiting): Taken {
    const now = this.#clock.now();
    this.#taken.set(item.key, now);
    this.#observer?.taken((now - item.since) / 1000);
    return { key: item.key, priority: item.priority };
  }
}
