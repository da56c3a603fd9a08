/**
 * How far a stream was read: up to which offset everything is done. Pure.
 *
 * Deliveries come in the order of their offsets and are done in any. What is not done holds the place back, so that a reader
 * that comes after reads it again.
 */
export interface Place {
  offset: number;
  /** Of the event there: so that a stream that was made anew is told from this one. */
  messageId: string | undefined;
}

export class OffsetWindow {
  /** Not done, or done behind one that is not; lowest first. */
  readonly #window = new Map<number, { messageId: string | undefined; done: boolean }>();
  #place: Place | undefined;

  /** Undefined: nothing is done yet. */
  get place(): Place | undefined {
    return this.#place;
  }

  arrived(offset: number, messageId: string | undefined): void {
    this.#window.set(offset, { messageId, done: false });
  }

  /** True when the place is another now. */
  done(offset: number): boolean {
    const entry = this.#window.get(offset);
    if (entry === undefined) return false;
    entry.done = true;
    const before = this.#place;
    for (const [each, { messageId, done }] of this.#window) {
      if (!done) break;
      this.#window.delete(each);
      this.#place = { offset: each, messageId };
    }
    return this.#place !== before;
  }
}
