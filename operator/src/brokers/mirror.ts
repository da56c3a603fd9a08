/**
 * What was read of a virtual host, with every write of ours since: so a reconcile sees what the one before it did, and a
 * thousand of them cost one reading.
 *
 * A reading that was under way while a write ended may or may not have seen it. So the writes that ended after a reading
 * began are made again upon what it gave.
 */
import type { Found, Step } from '@warren/topology';
import { LiveInventory } from './live-inventory.ts';
import type { Layout } from './live-inventory.ts';

export interface Reading {
  /** Changes with our own writes: what is to be compared is looked at without waiting in between. */
  found: LiveInventory;
  /** When it began, in milliseconds of `performance.now()`: what others did before that is in it. */
  readAt: number;
  /** How long it took: milliseconds. */
  tookMs: number;
}

export class Mirror {
  #held: Reading | undefined;
  /** What the last reading gave, and what was made of it. */
  #last: { read: Found; found: LiveInventory; layout: Layout } | undefined;
  /** Only those that a reading under way may have missed. */
  #writes: { endedAt: number; step: Step }[] = [];
  #readings = 0;
  /** Counts what made everything read so far doubtful. */
  #doubts = 0;

  /** Undefined when nothing was read, or what was read is not to be trusted any more. */
  get reading(): Reading | undefined {
    return this.#held;
  }

  /** Reads anew. When that fails, what is there stays. */
  async refresh(read: () => Promise<Found>): Promise<Reading> {
    const readAt = performance.now();
    const doubts = this.#doubts;
    this.#readings += 1;
    try {
      const found = this.#inventoryOf(await read());
      for (const { endedAt, step } of this.#writes) if (endedAt >= readAt) found.apply(step);
      // Doubted meanwhile, it still serves those who asked before, and nobody after them.
      const reading = { found, readAt, tookMs: performance.now() - readAt };
      if (doubts === this.#doubts) this.#held = reading;
      return reading;
    } finally {
      this.#readings -= 1;
      if (this.#readings === 0) this.#writes = [];
    }
  }

  /** The one that is there where the very same was read once more, and we have written nothing since. */
  #inventoryOf(read: Found): LiveInventory {
    const last = this.#last;
    if (last !== undefined && last.found.layout === last.layout && isSame(last.read, read)) return last.found;
    const found = new LiveInventory(read, last?.found);
    this.#last = { read, found, layout: found.layout };
    return found;
  }

  /** A write has succeeded. */
  wrote(step: Step): void {
    if (this.#readings > 0) this.#writes.push({ endedAt: performance.now(), step });
    this.#held?.found.apply(step);
  }

  /** A write has an unknown outcome, or something is not as it was read: whoever asks next reads anew. */
  doubt(): void {
    this.#doubts += 1;
    this.#held = undefined;
  }
}

function isSame(a: Found, b: Found): boolean {
  return (['exchanges', 'queues', 'bindings', 'policies', 'operatorPolicies'] as const).every(
    (listing) => a[listing] === b[listing],
  );
}
