/**
 * Many callers, one piece of work: whoever joins while a run is gathering shares that run; whoever joins while one is under
 * way shares the next. So a hundred reconciles read the broker once, and one alone waits only the gathering time.
 */
export class Batcher<Key, Result> {
  readonly #run: (keys: ReadonlySet<Key>) => Promise<Map<Key, Result>>;
  readonly #gatherMs: number;
  #next: { keys: Set<Key>; results: Promise<Map<Key, Result>> } | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(run: (keys: ReadonlySet<Key>) => Promise<Map<Key, Result>>, gatherMs: number) {
    this.#run = run;
    this.#gatherMs = gatherMs;
  }

  /** The key's part of the shared result. Rejects as the run does. */
  async join(key: Key): Promise<Result> {
    this.#next ??= this.#gather();
    const { keys, results } = this.#next;
    keys.add(key);
    const result = (await results).get(key);
    if (result === undefined) throw new TypeError('a batch gave no result for one of its keys');
    return result;
  }

  #gather() {
    const keys = new Set<Key>();
    const previous = this.#running;
    const results = (async () => {
      await Promise.all([previous, new Promise((resolve) => setTimeout(resolve, this.#gatherMs))]);
      this.#next = undefined;
      return this.#run(keys);
    })();
    this.#running = results.catch(() => undefined);
    return { keys, results };
  }
}
