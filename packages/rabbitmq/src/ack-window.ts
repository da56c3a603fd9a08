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
  /** Arrived and neither finished nor settled, lowest first: no more than the prefetch, however long one of them takes. */
  readonly #open = new Set<number>();
  /** Finished and still to be acknowledged, in the order of finishing. */
  readonly #held = new Set<number>();

  /** Finished deliveries that wait for an acknowledgement. */
  get held(): number {
    return this.#held.size;
  }

  /** The channel brought the delivery. Call it in the order of arrival, which is that of the tags. */
  arrived(tag: number): void {
    this.#open.add(tag);
  }

  /** The delivery is done and is to be acknowledged. */
  finish(tag: number): void {
    this.#open.delete(tag);
    this.#held.add(tag);
  }

  /** The delivery was settled by itself (rejected or returned); it only must not block the prefix. */
  settled(tag: number): void {
    this.#open.delete(tag);
  }

  /** Takes the finished prefix: one frame for all of it. */
  takePrefix(): Ack | undefined {
    const [low = Infinity] = this.#open;
    let tag = 0;
    let count = 0;
    for (const held of this.#held) {
      if (held > low) continue;
      tag = Math.max(tag, held);
      count += 1;
      this.#held.delete(held);
    }
    return count === 0 ? undefined : { tag, multiple: count > 1 };
  }

  /** Takes what is finished behind an unfinished delivery: one frame each. Call takePrefix() first. */
  takeStragglers(): Ack[] {
    const acks = Array.from(this.#held, (tag) => ({ tag, multiple: false }));
    this.#held.clear();
    return acks;
  }
}
