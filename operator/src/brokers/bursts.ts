/**
 * Lets work that comes piece by piece begin together. What a broker is told at the same time it writes to disk together:
 * sixteen subscriptions at once cost it half of what they cost one after the other (docs/adr/0026).
 *
 * A piece that comes alone begins at once. One that comes while others are under way waits for more, at most `longestMs`,
 * and no longer than until there are `most`.
 */
export interface BurstOptions {
  most: number;
  longestMs: number;
}

export class Bursts {
  readonly #options: BurstOptions;
  #running = 0;
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BurstOptions) {
    this.#options = options;
  }

  async join<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running > 0) await this.#gathered();
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }

  #gathered(): Promise<void> {
    const { most, longestMs } = this.#options;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length >= most) this.#begin();
      else this.#timer ??= setTimeout(() => this.#begin(), longestMs);
    });
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const begin of waiting) begin();
  }
}
