import type { KubernetesObject } from '../object.ts';
import type { WatchOptions } from '../resource-client.ts';
import type { WatchEvent } from '../watch-stream.ts';

/** For tests: a watch that says what the test lets it say. */
export class ScriptedWatch<T extends KubernetesObject> {
  readonly #queue: (WatchEvent<T> | Error | 'end')[] = [];
  #wake: () => void = () => undefined;
  ended = false;
  readonly options: WatchOptions;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  send(...what: (WatchEvent<T> | Error | 'end')[]): void {
    this.#queue.push(...what);
    this.#wake();
  }

  async *events(): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { signal, onOpen } = this.options;
    signal?.addEventListener('abort', () => this.#wake(), { once: true });
    try {
      onOpen?.();
      for (;;) {
        if (signal?.aborted === true) throw signal.reason;
        const next = this.#queue.shift();
        if (next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
        else if (next === 'end') return;
        else if (next instanceof Error) throw next;
        else yield next;
      }
    } finally {
      this.ended = true;
    }
  }
}
