/**
 * The objects that a reflector knows, by key and by the indexes asked for. What it gives out is shared: do not change it.
 */

/** The values under which an object can be found: `(object) => [object.spec.secretRef.name]`. */
export type Indexer<T> = (object: T) => Iterable<string>;

export interface Store<T> {
  readonly size: number;
  get(key: string): T | undefined;
  keys(): Iterable<string>;
  list(): Iterable<T>;
  /** The keys of all objects that index `name` files under `value`. */
  by(name: string, value: string): Iterable<string>;
}

export class IndexedStore<T> implements Store<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: Map<string, { indexer: Indexer<T>; keys: Map<string, Set<string>> }>;

  constructor(indexers: Record<string, Indexer<T>> = {}) {
    this.#indexes = new Map(
      Object.entries(indexers).map(([name, indexer]) => [
        name,
        { indexer, keys: new Map<string, Set<string>>() },
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
    for (const { indexer, keys } of this.#indexes.values()) {
      for (const value of indexer(object)) {
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
    const object = this.#objects.get(key);
    if (object === undefined) return;
    for (const { indexer, keys } of this.#indexes.values()) {
      for (const value of indexer(object)) {
        const filed = keys.get(value);
        filed?.delete(key);
        if (filed?.size === 0) keys.delete(value);
      }
    }
  }
}
