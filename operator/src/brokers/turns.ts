/** Work that may not fill all places: so much of it at a time, in the order of its coming. */
export class Turns {
  readonly #places: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(places: number) {
    this.#places = places;
  }

  async take<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running < this.#places) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Its place is handed over, and never free in between.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
