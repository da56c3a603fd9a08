/**
 * The message at which an ordered consumer stands, because its handler failed: how often, and until when it waits. It outlives
 * channels: the broker gives a message out again when a channel is lost, or when it was in hand for half an hour, and that is
 * no reason to begin anew with its attempts. A process that dies forgets it.
 */
export class HeldBack {
  #key: unknown;
  #failures = 0;
  /** In milliseconds of `performance.now()`. */
  #until = 0;

  /** The attempt that a message is about to be, from 1. @param key what it is known by */
  attemptOf(key: unknown): number {
    return this.#isHeld(key) ? this.#failures + 1 : 1;
  }

  /** How long it must still wait: milliseconds. */
  waitMs(key: unknown): number {
    return this.#isHeld(key) ? Math.max(0, this.#until - performance.now()) : 0;
  }

  failed(key: unknown, attempt: number, delayMs: number): void {
    this.#key = key;
    this.#failures = attempt;
    this.#until = performance.now() + delayMs;
  }

  /** It is handled, or put aside: should it come once more, its attempts begin anew. */
  forget(key: unknown): void {
    if (this.#isHeld(key)) this.#key = undefined;
  }

  #isHeld(key: unknown): boolean {
    return key !== undefined && key === this.#key;
  }
}
