/** Callers who wait until they are let in, in the order of their coming. One whose signal aborts waits no longer. */
export class Waiters {
  readonly #waiting = new Set<() => void>();

  get count(): number {
    return this.#waiting.size;
  }

  /** Resolves when this caller is let in; rejects with the signal's reason, at once, when it is not wanted any more. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.delete(enter);
        reject(signal?.reason as Error);
      };
      this.#waiting.add(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  /** Whether somebody waited. */
  letFirstIn(): boolean {
    const [first] = this.#waiting;
    if (first === undefined) return false;
    this.#waiting.delete(first);
    first();
    return true;
  }

  letAllIn(): void {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (const enter of all) enter();
  }
}
