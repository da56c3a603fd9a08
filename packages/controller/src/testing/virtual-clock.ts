/**
 * A clock that moves only when a test says so. `advance` runs what becomes due in order and lets promises settle
 * between two timers, so that a chain of sleeps goes as far as it would have in real time.
 */
import type { Clock } from '../clock.ts';

export class VirtualClock implements Clock {
  #now = 0;
  #wall: number;
  #sequence = 0;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();

  constructor(start = new Date('2026-01-01T00:00:00.000Z')) {
    this.#wall = start.getTime();
  }

  now(): number {
    return this.#now;
  }

  date(): Date {
    return new Date(this.#wall + this.#now);
  }

  /** Somebody sets the wall clock; the monotonic one does not notice. */
  jumpWallClock(ms: number): void {
    this.#wall += ms;
  }

  after(ms: number, callback: () => void): () => void {
    const id = (this.#sequence += 1);
    this.#timers.set(id, { at: this.#now + Math.max(ms, 0), callback });
    return () => this.#timers.delete(id);
  }

  /** Timers that nobody has cancelled: none, when everything has been stopped. */
  get pending(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (;;) {
      const [id, timer] =
        [...this.#timers].sort(([a, x], [b, y]) => x.at - y.at || a - b).find(([, { at }]) => at <= until) ??
        [];
      if (id === undefined || timer === undefined) break;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, timer.at);
      timer.callback();
      await settle();
    }
    this.#now = until;
    await settle();
  }
}

/** Lets everything that can run without time passing run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
