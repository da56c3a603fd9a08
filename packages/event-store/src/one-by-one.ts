/**
 * Work on one key after the other, in the order in which it came; other keys do not wait. Commands for one aggregate that this
 * process runs side by side would only read its past at the same time and then make each other lose the race.
 */
export class OneByOne {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Resolves or rejects as the work does; what went before it has no say in that. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }

  /** How many keys have work. */
  get size(): number {
    return this.#last.size;
  }
}
