/**
 * The objects that a reflector knows, by key and by the indexes asked for. What it gives out is shared: do not change it.
 * An object for which an index throws is kept, is logged, and cannot be found by that index.
 */
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';

/**
 * The values under which an object can be found, which may be none:
 * `({ spec }) => (spec?.secretRef === undefined ? [] : [spec.secretRef.name])`.
 */
export type Indexer<T> = (object: T) => Iterable<string>;

export interface Store<T> {
  readonly size: number;
  get(key: string): T | undefined;
  keys(): Iterable<string>;
  list(): Iterable<T>;
  /** The keys of all objects that index `name` files under `value`. */
  by(name: string, value: string): Iterable<string>;
}

interface Index<T> {
  indexer: Indexer<T>;
  keys: Map<string, Set<string>>;
  /** What each key is filed under, so that taking it out asks nobody. */
  values: Map<string, ReadonlySet<string>>;
}

export class IndexedStore<T> implements Store<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: Map<string, Index<T>>;
  readonly #log: Log;

  constructor(indexers: Record<string, Indexer<T>> = {}, log: Log = silentLog) {
    this.#log = log;
    this.#indexes = new Map(
      Object.entries(indexers).map(([name, indexer]) => [
        name,
        { indexer, keys: new Map(), values: new Map() },
      ]),
    );
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  by(name: string, value: string): Iterable<string> {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new TypeError(`the store has no index ${name}`);
    return index.keys.get(value) ?? [];
  }

  set(key: string, object: T): void {
    this.#unfile(key);
    this.#objects.set(key, object);
    for (const [name, { indexer, keys, values }] of this.#indexes) {
      try {
        values.set(key, new Set(indexer(object)));
      } catch (error) {
        this.#log.error(
          { ...describeError(error), key, index: name },
          'an index failed: the object is not in it',
        );
      }
      for (const value of values.get(key) ?? []) {
        const filed = keys.get(value);
        if (filed === undefined) keys.set(value, new Set([key]));
        else filed.add(key);
      }
    }
  }

  delete(key: string): void {
    this.#unfile(key);
    this.#objects.delete(key);
  }

  #unfile(key: string): void {
    for (const { keys, values } of this.#indexes.values()) {
      for (const value of values.get(key) ?? []) {
        const filed = keys.get(value);
        filed?.delete(key);
        if (filed?.size === 0) keys.delete(value);
      }
      values.delete(key);
    }
  }
}
