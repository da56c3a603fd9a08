/**
 * What the watch tells of our own writes is no news. It may tell of one before the write itself has returned, and so what is
 * written is noted before: its digest only, for it may be a secret.
 */
import { createHash } from 'node:crypto';
import { keyOf } from '@warren/controller';
import type { Change, KubernetesObject } from '@warren/controller';
import { canonical } from '@warren/topology';

interface WithData extends KubernetesObject {
  data?: Readonly<Record<string, string>>;
}

export class OwnWrites<T extends WithData> {
  readonly #digests = new Map<string, string>();

  /** One that fails is forgotten: should it have taken place after all, the watch's news of it costs a look. */
  async write<Result>(object: T, write: () => Promise<Result>): Promise<Result> {
    const key = keyOf(object);
    const digest = digestOf(object);
    this.#digests.set(key, digest);
    try {
      return await write();
    } catch (error) {
      if (this.#digests.get(key) === digest) this.#digests.delete(key);
      throw error;
    }
  }

  /** Of each write it is told once: the same content again, or after a deletion, is somebody else's doing. */
  isOwn({ key, type, object }: Change<T>): boolean {
    const written = this.#digests.get(key);
    this.#digests.delete(key);
    return type !== 'deleted' && written === digestOf(object);
  }
}

/** Of what a write of ours decides: the data, and whose it is. */
function digestOf({ data = {}, metadata: { ownerReferences = [] } }: WithData): string {
  return createHash('sha256').update(canonical({ data, ownerReferences })).digest('base64');
}
