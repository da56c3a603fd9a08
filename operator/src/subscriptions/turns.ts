/** One at a time for a subscription: a takeover works on the objects of two. Who finds it taken comes again. */
export class Turns {
  readonly #taken = new Set<string>();

  /** Undefined while somebody else has it. */
  enter(key: string): Disposable | undefined {
    if (this.#taken.has(key)) return undefined;
    this.#taken.add(key);
    return { [Symbol.dispose]: () => void this.#taken.delete(key) };
  }
}
