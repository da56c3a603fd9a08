/**
 * What the watch tells of our own writes is no news. It may tell of one before the write itself has returned, and so what is
 * written is noted before.
 */
import { isDeepStrictEqual } from 'node:util';
import { keyOf } from '@warren/controller';
import type { Change, KubernetesObject } from '@warren/controller';

export class OwnWrites<T extends KubernetesObject> {
  readonly #contentOf: (object: T) => unknown;
  readonly #writing = new Map<string, unknown>();

  /** @param contentOf what is compared */
  constructor(contentOf: (object: T) => unknown) {
    this.#contentOf = contentOf;
  }

  writing(object: T): void {
    this.#writing.set(keyOf(object), this.#contentOf(object));
  }

  /** Of each write it is told once: the same content again is somebody else's doing. */
  isOwn({ key, type, object }: Change<T>): boolean {
    if (type === 'deleted' || !this.#writing.has(key)) return false;
    const written = this.#writing.get(key);
    this.#writing.delete(key);
    return isDeepStrictEqual(this.#contentOf(object), written);
  }
}
