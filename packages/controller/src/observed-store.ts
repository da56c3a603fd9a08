/**
 * A store that tells its handlers of every change, in order and after it has them. An object of an unchanged resource version
 * is no change. A handler that throws is logged and changes nothing.
 */
import { describeError } from './log.ts';
import type { Log } from './log.ts';
import type { KubernetesObject } from './object.ts';
import { IndexedStore } from './store.ts';
import type { Indexer } from './store.ts';

export interface Change<T> {
  type: 'added' | 'updated' | 'deleted';
  key: string;
  /** As it is now; of a deletion, the last that is known. */
  object: T;
  /** As it was. */
  previous?: T;
  /** It was there before anybody looked: nobody waits for it. */
  initial: boolean;
  /** A deletion that was only noticed by listing. */
  stale?: boolean;
}

/** What it returns is ignored; what it throws, or rejects with, is logged. */
export type ChangeHandler<T> = (change: Change<T>) => unknown;

export class ObservedStore<T extends KubernetesObject> extends IndexedStore<T> {
  readonly #log: Log;
  readonly #handlers = new Set<ChangeHandler<T>>();

  constructor(log: Log, indexes?: Record<string, Indexer<T>>) {
    super(indexes, log);
    this.#log = log;
  }

  get handlers(): number {
    return this.#handlers.size;
  }

  /** One that comes `late` is told of what is there first. The function returned takes the handler away. */
  onChange(handler: ChangeHandler<T>, { late }: { late: boolean }): () => void {
    if (late)
      for (const [key, object] of this.#entries())
        this.#call(handler, { type: 'added', key, object, initial: true });
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** What is stored, when it is the same version of the same object. */
  unchanged(key: string, { metadata: { uid, resourceVersion } }: T): T | undefined {
    const known = this.get(key);
    const same = known?.metadata.uid === uid && known?.metadata.resourceVersion === resourceVersion;
    return same && resourceVersion !== undefined ? known : undefined;
  }

  /** All that there is: what is not among it was deleted. */
  replace(all: ReadonlyMap<string, T>, { initial }: { initial: boolean }): void {
    for (const [key, object] of this.#entries()) if (!all.has(key)) this.#miss(key, object);
    for (const [key, object] of all) this.keep(key, object, { initial });
  }

  keep(key: string, object: T, { initial }: { initial: boolean } = { initial: false }): void {
    if (this.unchanged(key, object) !== undefined) return;
    let previous = this.get(key);
    if (previous?.metadata.uid !== undefined && previous.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody watched: two objects, two changes.
      this.#miss(key, previous);
      previous = undefined;
    }
    this.set(key, object);
    if (previous === undefined) this.#tell({ type: 'added', key, object, initial });
    else this.#tell({ type: 'updated', key, object, previous, initial: false });
  }

  /** It was deleted, and was like that at last. */
  remove(key: string, object: T): void {
    const previous = this.get(key);
    this.delete(key);
    if (previous !== undefined) this.#tell({ type: 'deleted', key, object, previous, initial: false });
  }

  /** It is not there any more, and nobody saw how it ended. */
  #miss(key: string, object: T): void {
    this.delete(key);
    this.#tell({ type: 'deleted', key, object, initial: false, stale: true });
  }

  *#entries(): Iterable<[string, T]> {
    for (const key of [...this.keys()]) {
      const object = this.get(key);
      if (object !== undefined) yield [key, object];
    }
  }

  #tell(change: Change<T>): void {
    for (const handler of [...this.#handlers]) this.#call(handler, change);
  }

  #call(handler: ChangeHandler<T>, change: Change<T>): void {
    try {
      const result = handler(change);
      if (result instanceof Promise) {
        result.catch((error: unknown) => {
          this.#log.error(describeError(error), 'a change handler failed');
        });
      }
    } catch (error) {
      this.#log.error({ ...describeError(error), key: change.key }, 'a change handler failed');
    }
  }
}
