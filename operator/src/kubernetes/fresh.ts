/**
 * A reflector's store that is never behind our own writes: what a write gave back is used until the watch has caught up.
 * Without it a reconcile that follows a status write at once would see the old status, write again and tell its story twice.
 */
import { keyOf } from '@warren/controller';
import type { KubernetesObject, Reflector, Source } from '@warren/controller';
import type { Collection } from '../source.ts';

export class FreshCollection<T extends KubernetesObject> implements Collection<T> {
  readonly changes: Source;
  readonly #reflector: Reflector<T>;
  readonly #written = new Map<string, T>();
  readonly #listeners: ((key: string) => void)[] = [];
  #listed: readonly T[] | undefined;
  revision = 0;

  constructor(reflector: Reflector<T>, changes: Source) {
    this.#reflector = reflector;
    this.changes = changes;
    reflector.onChange(({ key, type }) => {
      const written = this.#written.get(key);
      if (written !== undefined && (type === 'deleted' || !this.#isBehind(key, written)))
        this.#written.delete(key);
      this.#touch(key);
    });
  }

  get(key: string): T | undefined {
    const seen = this.#reflector.store.get(key);
    return seen === undefined ? undefined : (this.#written.get(key) ?? seen);
  }

  list(): readonly T[] {
    this.#listed ??= [...this.#reflector.store.keys()].flatMap((key) => this.get(key) ?? []);
    return this.#listed;
  }

  onChange(listener: (key: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Remembers what a write gave back. */
  wrote(object: T): T {
    const key = keyOf(object);
    if (this.#isBehind(key, object)) {
      this.#written.set(key, object);
      this.#touch(key);
    }
    return object;
  }

  /** Resource versions of one resource are decimal and ordered (Kubernetes 1.35 and later say so; etcd always had it). */
  #isBehind(key: string, written: T): boolean {
    const seen = this.#reflector.store.get(key)?.metadata;
    if (seen === undefined || seen.uid !== written.metadata.uid) return false;
    return Number(seen.resourceVersion) < Number(written.metadata.resourceVersion);
  }

  #touch(key: string): void {
    this.revision += 1;
    this.#listed = undefined;
    for (const listener of this.#listeners) listener(key);
  }
}
