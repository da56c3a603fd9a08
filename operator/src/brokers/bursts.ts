/**
 * Lets work that comes piece by piece begin together. What a broker is told at the same time it writes to disk together:
 * fifty subscriptions at once cost it a third of what they cost one after the other (docs/adr/0026).
 *
 * A piece that comes alone begins at once. One that comes while others are under way waits for more: until none has come for
 * `quietMs`, at most `longestMs`, and no longer than until there are `most`.
 */
import { unlessAborted } from '@warren/controller';

export interface BurstOptions {
  most: number;
  quietMs: number;
  longestMs: number;
}

/** Those who wait to begin together. */
interface Gathering {
  size: number;
  /** Runs out when no more come. */
  quiet: NodeJS.Timeout;
  begun: Promise<void>;
  begin: () => void;
}

export class Bursts {
  readonly #options: BurstOptions;
  #running = 0;
  #gathering: Gathering | undefined;

  constructor(options: BurstOptions) {
    this.#options = options;
  }

  /** Rejects with the signal's reason when that aborts before the work has begun. */
  async join<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#running > 0) await this.#begun(signal);
    signal?.throwIfAborted();
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }

  async #begun(signal: AbortSignal | undefined): Promise<void> {
    const gathering = (this.#gathering ??= this.#gather());
    gathering.size += 1;
    gathering.quiet.refresh();
    if (gathering.size >= this.#options.most) gathering.begin();
    try {
      await unlessAborted(gathering.begun, signal);
    } catch (error) {
      gathering.size -= 1;
      if (gathering.size === 0) gathering.begin();
      throw error;
    }
  }

  #gather(): Gathering {
    const { quietMs, longestMs } = this.#options;
    const { promise: begun, resolve } = Promise.withResolvers<undefined>();
    const begin = () => {
      clearTimeout(quiet);
      clearTimeout(longest);
      if (this.#gathering === gathering) this.#gathering = undefined;
      resolve(undefined);
    };
    const quiet = setTimeout(begin, quietMs);
    const longest = setTimeout(begin, longestMs);
    const gathering: Gathering = { size: 0, quiet, begun, begin };
    return gathering;
  }
}
