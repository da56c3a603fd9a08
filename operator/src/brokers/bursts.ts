/**
 * Lets work that comes piece by piece begin together. What a broker is told at the same time it writes to disk together:
 * sixteen subscriptions at once cost it half of what they cost one after the other (docs/adr/0026).
 *
 * A piece that comes alone begins at once. One that comes while others are under way waits for more, at most `longestMs`,
 * and no longer than until there are `most`.
 */
import { Waiters } from './waiters.ts';

export interface BurstOptions {
  most: number;
  longestMs: number;
}

export class Bursts {
  readonly #options: BurstOptions;
  readonly #waiters = new Waiters();
  #running = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BurstOptions) {
    this.#options = options;
  }

  /** Rejects with the signal's reason when that aborts before the work has begun. */
  async join<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#running > 0) await this.#gathered(signal);
    signal?.throwIfAborted();
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }

  async #gathered(signal: AbortSignal | undefined): Promise<void> {
    const { most, longestMs } = this.#options;
    const begun = this.#waiters.wait(signal);
    if (this.#waiters.count >= most) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), longestMs);
    try {
      await begun;
    } finally {
      if (this.#waiters.count === 0) this.#stopTimer();
    }
  }

  #begin(): void {
    this.#stopTimer();
    this.#waiters.letAllIn();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
