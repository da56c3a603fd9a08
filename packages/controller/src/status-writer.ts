/**
 * Writes the status of objects by server-side apply, and only when it says something new.
 *
 * The object in a reflector's store may be older than our own last write. So the writer remembers what it wrote until the
 * store has caught up: a reconcile that comes in between builds upon that, and does not write the same again with a newer
 * `lastTransitionTime`.
 */
import { alreadyApplied } from './applied.ts';
import type { KubernetesObject } from './object.ts';
import type { ApplyOptions, ResourceClient, StatusOf } from './resource-client.ts';

/** The status, or how it follows from the one there is. */
export type NextStatus<Status> = Status | ((current: Status | undefined) => Status);

export interface StatusWriter<T extends KubernetesObject> {
  /** The newest status known: that of `live`, or what was written since. */
  current(live: T): StatusOf<T> | undefined;
  /** Gives back the object as written, or undefined when there was nothing to write. Throws ConflictError if it is another object by now. */
  write(live: T, status: NextStatus<StatusOf<T>>, options?: ApplyOptions): Promise<T | undefined>;
}

/** Remembered writes at most; each is let go of when the store catches up. */
const REMEMBERED = 10_000;

export function createStatusWriter<T extends KubernetesObject>({
  resource,
  fieldManager,
}: {
  resource: Pick<ResourceClient<T>, 'applyStatus' | 'fieldManager'>;
  /** Default: the cluster's. */
  fieldManager?: string;
}): StatusWriter<T> {
  const manager = fieldManager ?? resource.fieldManager;
  const written = new Map<string, T>();

  const newest = (live: T): T => {
    const { uid, resourceVersion } = live.metadata;
    const ours = uid === undefined ? undefined : written.get(uid);
    if (uid === undefined || ours === undefined) return live;
    if (isOlder(resourceVersion, ours.metadata.resourceVersion)) return ours;
    written.delete(uid);
    return live;
  };

  return {
    current: (live) => statusOf(newest(live)),
    write: async (live, next, options = {}) => {
      const known = newest(live);
      const status =
        typeof next === 'function'
          ? (next as (current: StatusOf<T> | undefined) => StatusOf<T>)(statusOf(known))
          : next;
      if (alreadyApplied(known, { status }, { fieldManager: manager, subresource: 'status' }))
        return undefined;
      const result = await resource.applyStatus(live.metadata, status, { fieldManager: manager, ...options });
      // Dropped as the reflector drops them, so that both compare alike.
      if (live.metadata.managedFields === undefined) delete result.metadata.managedFields;
      const { uid } = result.metadata;
      if (uid !== undefined) {
        written.delete(uid);
        written.set(uid, result);
        const [eldest] = written.keys();
        if (written.size > REMEMBERED && eldest !== undefined) written.delete(eldest);
      }
      return result;
    },
  };
}

function statusOf<T extends KubernetesObject>(object: T): StatusOf<T> | undefined {
  return (object as { status?: StatusOf<T> }).status;
}

/** Resource versions are decimal numbers that grow (KEP-5504); should one not be, what we wrote is the older. */
function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return BigInt(a) < BigInt(b);
}
