/**
 * Finalizers: what must be done before an object may be gone.
 *
 * Both functions touch nothing but their own finalizer, guarded by resource version and uid: when somebody else writes at
 * the same time, the object is read and tried again. Gone, or made anew under the same name, counts as removed.
 */
import { ConflictError, NotFoundError } from './errors.ts';
import type { KubernetesObject } from './object.ts';
import type { CallOptions, ResourceClient } from './resource-client.ts';

type Finalized<T extends KubernetesObject> = Pick<ResourceClient<T>, 'find' | 'patchFinalizers'>;

const ATTEMPTS = 8;

export function hasFinalizer(object: KubernetesObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) === true;
}

/**
 * The object with the finalizer; undefined when the object is gone. Without it when the object is being deleted already: the
 * server forbids new finalizers then, and there is nothing to finalize of an object that never had it.
 */
export function addFinalizer<T extends KubernetesObject>(
  resource: Finalized<T>,
  object: T,
  finalizer: string,
  options: CallOptions = {},
): Promise<T | undefined> {
  return change(resource, object, options, ({ metadata: { finalizers = [], deletionTimestamp } }) =>
    deletionTimestamp !== undefined || finalizers.includes(finalizer)
      ? undefined
      : [...finalizers, finalizer],
  );
}

/** The object without the finalizer; undefined when it is gone. */
export function removeFinalizer<T extends KubernetesObject>(
  resource: Finalized<T>,
  object: T,
  finalizer: string,
  options: CallOptions = {},
): Promise<T | undefined> {
  return change(resource, object, options, ({ metadata: { finalizers = [] } }) =>
    finalizers.includes(finalizer) ? finalizers.filter((one) => one !== finalizer) : undefined,
  );
}

async function change<T extends KubernetesObject>(
  resource: Finalized<T>,
  object: T,
  options: CallOptions,
  next: (object: T) => string[] | undefined,
): Promise<T | undefined> {
  let current = object;
  for (let attempt = 1; ; attempt += 1) {
    const finalizers = next(current);
    if (finalizers === undefined) return current;
    try {
      return await resource.patchFinalizers(current, finalizers, options);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      if (!(error instanceof ConflictError) || attempt === ATTEMPTS) throw error;
      const found = await resource.find(object.metadata, options);
      if (found?.metadata.uid !== object.metadata.uid) return undefined;
      if (found === undefined) return undefined;
      current = found;
    }
  }
}
