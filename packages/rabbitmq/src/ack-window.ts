/**
 * Which deliveries of one channel may be acknowledged, in as few frames as possible. Pure.
 *
 * Delivery tags of a channel run 1, 2, 3, … without gaps. `ack(tag, multiple)` settles everything unsettled up to
 * `tag`, so it is right exactly when all of these are finished; and `tag` itself must be unsettled, or the broker
 * closes the channel (406). Deliveries that finished behind an unfinished one are acknowledged one by one, later:
 * a slow message must hold back neither its neighbours nor the prefetch.
 */
export interface Ack {
  tag: number;
  multiple: boolean;
}

export class AckWindow {
  /** The lowest tag that is not finished; everything below is settled, or in `#prefix`. */
  #low = 1;
  /** Finished tags from `#low` on: true = still to be acknowledged, false = settled already. */
  readonly #finished = new Map<number, boolean>();
  #held = 0;

  /** Finished deliveries that wait for an acknowledgement. */
  get held(): number {
    return this.#held;
  }

  /** The delivery is done and is to be acknowledged. */
  finish(tag: number): void {
    this.#finished.set(tag, true);
    this.#held += 1;
  }

  /** The delivery was settled by itself (rejected or returned); it only must not block the prefix. */
  settled(tag: number): void {
    this.#finished.set(tag, false);
  }

  /** Takes the finished prefix: one frame for all of it. */
  takePrefix(): Ack | undefined {
    let tag = 0;
    let count = 0;
    for (let open = this.#finished.get(this.#low); open !== undefined; open = this.#finished.get(this.#low)) {
      if (open) {
        tag = this.#low;
        count += 1;
      }
      this.#finished.delete(this.#low);
      this.#low += 1;
    }
    this.#held -= count;
    return count === 0 ? undefined : { tag, multiple: count > 1 };
  }

  /** Takes what is finished behind an unfinished delivery: one frame each. Call takePrefix() first. */
  takeStragglers(): Ack[] {
    const acks: Ack[] = [];
    if (this.#held === 0) return acks;
    for (const [tag, open] of this.#finished) {
      if (!open) continue;
      this.#finished.set(tag, false);
      acks.push({ tag, multiple: false });
    }
    this.#held = 0;
    return acks;
  }
}
