/**
 * At most so many calls a second, on average: a bucket of one second's calls that fills all the time. Who finds it empty
 * waits for its turn, in the order of asking; one who does not want any more gives its turn back.
 */
import { setTimeout as delay } from 'node:timers/promises';

export interface TokenBucketOptions {
  perSecond: number;
  /** Milliseconds that never go back; performance.now(). */
  now?: () => number;
  /** Rejects with the signal's reason. */
  wait?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export class TokenBucket {
  readonly #perMs: number;
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** Below zero: so many have been promised. */
  #tokens: number;
  #filledAt: number;

  constructor({ perSecond, now = () => performance.now(), wait = waitFor }: TokenBucketOptions) {
    this.#perMs = perSecond / 1_000;
    this.#capacity = Math.max(1, perSecond);
    this.#now = now;
    this.#wait = wait;
    this.#tokens = this.#capacity;
    this.#filledAt = now();
  }

  /** Resolves when the call may be made; rejects with the signal's reason when it is not wanted any more. */
  async take(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const now = this.#now();
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#filledAt) * this.#perMs) - 1;
    this.#filledAt = now;
    if (this.#tokens >= 0) return;
    try {
      await this.#wait(-this.#tokens / this.#perMs, signal);
    } catch (error) {
      this.#tokens += 1;
      throw error;
    }
  }
}

/** Rejects with the signal's reason. */
export async function waitFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
