/**
 * Many callers, one piece of work: whoever joins while a run is gathering shares that run; whoever joins while one is under
 * way shares the next. So a hundred reconciles read the broker once, and one alone waits only the gathering time.
 *
 * A run belongs to all who wait for it. Who does not want it any more leaves it to the others; when the last one has left it
 * is not begun, or its signal aborts.
 */
import { unlessAborted } from '@warren/controller';

interface Batch<Key, Result> {
  /** One for each who waits. */
  waiting: Set<{ key: Key }>;
  unwanted: AbortController;
  results: Promise<Map<Key, Result>>;
}

type Run<Key, Result> = (keys: ReadonlySet<Key>, signal: AbortSignal) => Promise<Map<Key, Result>>;

export class Batcher<Key, Result> {
  readonly #run: Run<Key, Result>;
  readonly #gatherMs: number;
  #next: Batch<Key, Result> | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(run: Run<Key, Result>, gatherMs: number) {
    this.#run = run;
    this.#gatherMs = gatherMs;
  }

  /** The key's part of the shared result. Rejects as the run does, and with the signal's reason once that aborts. */
  async join(key: Key, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    const batch = (this.#next ??= this.#gather());
    const self = { key };
    batch.waiting.add(self);
    try {
      const result = (await unlessAborted(batch.results, signal)).get(key);
      if (result === undefined) throw new TypeError('a batch gave no result for one of its keys');
      return result;
    } finally {
      batch.waiting.delete(self);
      // One that still gathers may be joined by others.
      if (batch.waiting.size === 0 && batch !== this.#next) batch.unwanted.abort();
    }
  }

  #gather(): Batch<Key, Result> {
    const waiting = new Set<{ key: Key }>();
    const unwanted = new AbortController();
    const previous = this.#running;
    const results = (async () => {
      await Promise.all([previous, new Promise((resolve) => setTimeout(resolve, this.#gatherMs))]);
      this.#next = undefined;
      const keys = new Set([...waiting].map(({ key }) => key));
      return keys.size === 0 ? new Map<Key, Result>() : this.#run(keys, unwanted.signal);
    })();
    this.#running = results.catch(() => undefined);
    return { waiting, unwanted, results };
  }
}
