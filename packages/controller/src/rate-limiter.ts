/**
 * How long a key that failed has to wait. client-go's defaults: each key on its own 5 ms, doubled by every failure in a
 * row up to 1,000 s; all keys together at most 10 a second after a burst of 100; the longer of the two counts.
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

/** A token bucket over all keys. Whoever takes a token that is not there yet waits until it is. */
export function overallBucket({ perSecond = 10, burst = 100, clock = systemClock } = {}): RateLimiter {
  let tokens = burst;
  let at = clock.now();
  return {
    next: () => {
      const now = clock.now();
      tokens = Math.min(burst, tokens + ((now - at) / 1000) * perSecond) - 1;
      at = now;
      return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000;
    },
    failures: () => 0,
    forget: () => undefined,
  };
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
