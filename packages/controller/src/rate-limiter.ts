/**
 * How long a key that failed has to wait. client-go's defaults: each key on its own 5 ms, doubled by every failure in a
 * row up to 1,000 s; all keys together at most 10 a second after a burst of 100; the longer of the two counts.
 *
 * But for the others a key waits 30 s at most. Keys that wait may be added again and fail before their time, over and over: each
 * time they take one more token, and who failed once would wait for all of them, an hour after ten minutes of 1,000 such keys.
 */
import { systemClock } from './clock.ts';
import type { Clock } from './clock.ts';

export interface RateLimiter {
  /** Counts one more failure and says how many milliseconds to wait. */
  next(key: string): number;
  /** Failures in a row so far. */
  failures(key: string): number;
  /** The key succeeded, or is gone. */
  forget(key: string): void;
}

export function exponentialPerKey({ baseMs = 5, maxMs = 1_000_000 } = {}): RateLimiter {
  const failures = new Map<string, number>();
  return {
    next: (key) => {
      const before = failures.get(key) ?? 0;
      failures.set(key, before + 1);
      return Math.min(baseMs * 2 ** before, maxMs);
    },
    failures: (key) => failures.get(key) ?? 0,
    forget: (key) => failures.delete(key),
  };
}

/** So many tokens, refilled at a steady rate. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #mostOwed: number;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor({
    perSecond,
    burst,
    mostOwed = Infinity,
    clock = systemClock,
  }: {
    perSecond: number;
    burst: number;
    /** Tokens reserved ahead: one more costs no longer wait. */
    mostOwed?: number;
    clock?: Clock;
  }) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#mostOwed = mostOwed;
    this.#clock = clock;
    this.#tokens = burst;
    this.#at = clock.now();
  }

  /** Takes a token if there is one. */
  tryTake(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes a token in any case; the milliseconds until it is really there. */
  reserve(): number {
    this.#refill();
    this.#tokens = Math.max(this.#tokens - 1, -this.#mostOwed);
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000;
  }

  #refill(): void {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
  }
}

/** One bucket for all keys. */
export function overallBucket({
  perSecond = 10,
  burst = 100,
  longestMs = 30_000,
  clock = systemClock,
} = {}): RateLimiter {
  const bucket = new TokenBucket({ perSecond, burst, mostOwed: (perSecond * longestMs) / 1000, clock });
  return { next: () => bucket.reserve(), failures: () => 0, forget: () => undefined };
}

export function longestOf(...limiters: RateLimiter[]): RateLimiter {
  return {
    next: (key) => Math.max(0, ...limiters.map((limiter) => limiter.next(key))),
    failures: (key) => Math.max(0, ...limiters.map((limiter) => limiter.failures(key))),
    forget: (key) => limiters.forEach((limiter) => limiter.forget(key)),
  };
}

export function defaultRateLimiter(clock: Clock = systemClock): RateLimiter {
  return longestOf(exponentialPerKey(), overallBucket({ clock }));
}
