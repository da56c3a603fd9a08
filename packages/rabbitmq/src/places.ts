/** So much work at a time, the rest in the order of its coming. */
import { deferred, unlessAborted, type Deferred } from './timing.ts';

export class Places {
  #free: number;
  readonly #waiting = new Set<Deferred<undefined>>();

  constructor(places: number) {
    this.#free = places;
  }

  /** Rejects with the signal's reason, at once, when that aborts before the work has begun. */
  async take<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    try {
      signal?.throwIfAborted();
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    const turn = deferred<undefined>();
    this.#waiting.add(turn);
    try {
      await unlessAborted(turn.promise, signal);
    } catch (error) {
      const wasLetIn = !this.#waiting.delete(turn);
      if (wasLetIn) this.#leave();
      throw error;
    }
  }

  /** A place is handed over, and never free in between. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next.resolve(undefined);
  }
}
