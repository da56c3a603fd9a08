/**
 * Waiting times between tries: exponential, capped, and jittered so that many clients that lost one broker do not
 * come back in one instant. Each wait lies between half of its ceiling and the ceiling.
 */
export interface BackoffOptions {
  /** Ceiling of the first wait, in milliseconds. */
  initialMs: number;
  /** Ceiling of every later wait, in milliseconds. */
  maxMs: number;
  /** Growth of the ceiling from one try to the next. */
  factor?: number;
  /** A number in [0, 1); Math.random unless a test wants to know. */
  random?: () => number;
}

export interface Backoff {
  /** The next wait in milliseconds; each call counts as one failed try. */
  next(): number;
  /** Something worked: start from the beginning. */
  reset(): void;
}

export function createBackoff(options: BackoffOptions): Backoff {
  const { initialMs, maxMs, factor = 2, random = Math.random } = options;
  let ceiling = Math.min(initialMs, maxMs);
  return {
    next() {
      const wait = ceiling / 2 + (random() * ceiling) / 2;
      ceiling = Math.min(ceiling * factor, maxMs);
      return Math.round(wait);
    },
    reset() {
      ceiling = Math.min(initialMs, maxMs);
    },
  };
}
