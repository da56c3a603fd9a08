/** Work that may not fill all places: so much of it at a time, in the order of its coming. */
import { Waiters } from './waiters.ts';

export class Turns {
  readonly #places: number;
  readonly #waiters = new Waiters();
  #running = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** Rejects with the signal's reason when that aborts before the work has begun. */
  async take<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#running < this.#places) this.#running += 1;
    else await this.#waiters.wait(signal);
    try {
      // It may have aborted between being let in and being here; the place is to be handed on then.
      signal?.throwIfAborted();
      return await work();
    } finally {
      // Its place is handed over, and never free in between.
      if (!this.#waiters.letFirstIn()) this.#running -= 1;
    }
  }
}
