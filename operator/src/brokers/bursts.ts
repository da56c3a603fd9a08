/**
 * Lets work that comes piece by piece begin together. What a broker is told at the same time it writes to disk together:
 * fifty subscriptions at once cost it a third of what they cost one after the other (docs/adr/0026).
 *
 * A piece that comes alone begins at once. One that comes while others are under way waits for more: until none has come for
 * `quietMs`, at most `longestMs`, and no longer than until there are `most`.
 */
import { Waiters } from './waiters.ts';

export interface BurstOptions {
  most: number;
  quietMs: number;
  longestMs: number;
}

export class Bursts {
  readonly #options: BurstOptions;
  readonly #waiters = new Waiters();
  #running = 0;
  #quiet: NodeJS.Timeout | undefined;
  #longest: NodeJS.Timeout | undefined;

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
    const { most, quietMs, longestMs } = this.#options;
    const begun = this.#waiters.wait(signal);
    if (this.#waiters.count >= most) this.#begin();
    else {
      clearTimeout(this.#quiet);
      this.#quiet = setTimeout(() => this.#begin(), quietMs);
      this.#longest ??= setTimeout(() => this.#begin(), longestMs);
    }
    try {
      await begun;
    } finally {
      if (this.#waiters.count === 0) this.#stopTimers();
    }
  }

  #begin(): void {
    this.#stopTimers();
    this.#waiters.letAllIn();
  }

  #stopTimers(): void {
    clearTimeout(this.#quiet);
    clearTimeout(this.#longest);
    this.#quiet = undefined;
    this.#longest = undefined;
  }
}
