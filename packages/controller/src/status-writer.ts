/**
 * Writes the status of objects by server-side apply, and only when it says something new.
 *
 * The object in a reflector's store may be older than our own last write. So the writer remembers what it wrote until the
 * store has more to say: a reconcile that comes in between builds upon that, and does not write the same again with a
 * newer `lastTransitionTime`.
 */
import { alreadyApplied, equal } from './applied.ts';
import type { KubernetesObject } from './object.ts';
import { isOlder } from './object.ts';
import type { ApplyOptions, ResourceClient, StatusOf } from './resource-client.ts';

/** The status, or how it follows from the one there is. */
export type NextStatus<Status> = Status | ((current: Status | undefined) => Status);

export interface StatusWriter<T extends KubernetesObject> {
  /** The newest status known: that of `live`, or what was written since. */
  current(live: T): StatusOf<T> | undefined;
  /** Gives back the object as written, or undefined when there was nothing to write. Throws ConflictError if it is another object by now. */
  write(live: T, status: NextStatus<StatusOf<T>>, options?: ApplyOptions): Promise<T | undefined>;
}

/** What we wrote, and what came of it: another manager may own a part, and the schema may have added defaults. */
interface Written<Status> {
  resourceVersion: string | undefined;
  wanted: Status;
  status: Status | undefined;
}

/** Remembered writes at most; each is let go of when the store has caught up. */
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
  const written = new Map<string, Written<StatusOf<T>>>();

  /** Our last write, while nothing newer is known. */
  const ours = ({ metadata: { uid, resourceVersion } }: T): Written<StatusOf<T>> | undefined => {
    const last = uid === undefined ? undefined : written.get(uid);
    if (uid === undefined || last === undefined) return undefined;
    if (resourceVersion === last.resourceVersion) {
      // The store has caught up. Only what it cannot tell by itself needs to be remembered.
      if (equal(last.wanted, last.status)) written.delete(uid);
      return last;
    }
    if (isOlder(resourceVersion, last.resourceVersion)) return last;
    written.delete(uid);
    return undefined;
  };

  return {
    current: (live) => {
      const last = ours(live);
      return last === undefined ? statusOf(live) : last.status;
    },
    write: async (live, next, options = {}) => {
      const last = ours(live);
      const current = last === undefined ? statusOf(live) : last.status;
      const status =
        typeof next === 'function'
          ? (next as (current: StatusOf<T> | undefined) => StatusOf<T>)(current)
          : next;
      const known =
        last === undefined
          ? alreadyApplied(live, { status }, { fieldManager: manager, subresource: 'status' })
          : equal(last.wanted, status);
      if (known) return undefined;
      const result = await resource.applyStatus(live.metadata, status, { fieldManager: manager, ...options });
      const { uid, resourceVersion } = result.metadata;
      if (uid !== undefined && options.dryRun !== true) {
        written.delete(uid);
        written.set(uid, { resourceVersion, wanted: status, status: statusOf(result) });
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
