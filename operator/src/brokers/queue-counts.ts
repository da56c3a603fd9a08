/**
 * What the queues of a virtual host hold: as it was last counted, with our own writes since. A count may be made of a reading's
 * listing, so that the queues are not listed twice.
 */
import type { QueueFound, QueueStats } from '@warren/rabbitmq';
import { correctedCounts, EMPTY } from './corrected-counts.ts';
import type { QueueWrite } from './corrected-counts.ts';

type Writes = Map<string, QueueWrite>;

export class QueueCounts {
  #stats = new Map<string, QueueStats>();
  /** Queues that we made and that the broker has not counted yet. */
  #uncounted = new Set<string>();
  /** Of every listing and every count that may still be told, what we have written since it began. */
  readonly #since = new Set<Writes>();
  /** The last one, until it is counted. */
  #listing: { queues: readonly QueueFound[]; since: Writes } | undefined;

  /** As last counted. Undefined where that is not known: that is not zero. */
  of(queue: string): QueueStats | undefined {
    return this.#stats.get(queue);
  }

  /** A write has succeeded. */
  wrote(queue: string, write: QueueWrite): void {
    if (write === 'declared') {
      this.#stats.set(queue, EMPTY);
      this.#uncounted.add(queue);
    } else {
      this.#stats.delete(queue);
      this.#uncounted.delete(queue);
    }
    for (const since of this.#since) since.set(queue, write);
  }

  /** Keeps what is listed for the next count. */
  async list<Found extends { queues: readonly QueueFound[] }>(read: () => Promise<Found>): Promise<Found> {
    const since = this.#begin();
    try {
      const found = await read();
      if (this.#listing !== undefined) this.#since.delete(this.#listing.since);
      this.#listing = { queues: found.queues, since };
      return found;
    } catch (error) {
      this.#since.delete(since);
      throw error;
    }
  }

  /** Counts anew. When that fails, what is known stays. */
  async refresh(
    count: (listed: { queues?: readonly QueueFound[] }) => Promise<ReadonlyMap<string, QueueStats>>,
  ): Promise<void> {
    const { since, ...listed } = this.#listing ?? { since: this.#begin() };
    this.#listing = undefined;
    try {
      const counted = await count(listed);
      const { stats, uncounted } = correctedCounts(counted, { uncounted: this.#uncounted, since });
      this.#stats = stats;
      this.#uncounted = uncounted;
    } finally {
      this.#since.delete(since);
    }
  }

  #begin(): Writes {
    const since: Writes = new Map();
    this.#since.add(since);
    return since;
  }
}
