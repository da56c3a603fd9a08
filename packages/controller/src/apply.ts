/**
 * Makes objects of any kind so (a Secret that a controller owns, a ScaledObject): server-side apply, left out when the live
 * object already says so.
 */
import { alreadyApplied } from './applied.ts';
import type { Cluster } from './cluster.ts';
import type { KubernetesObject } from './object.ts';
import type { ApplyOptions } from './resource-client.ts';

export interface Applier {
  /**
   * Applies `wanted`: its fields become ours, fields we applied earlier and no longer want are removed.
   *
   * `live` is what is known to be there: the object (from a store), null for "nothing", undefined for "look it up".
   * Gives back the object as it is now, or undefined when nothing had to be written.
   */
  apply<T extends KubernetesObject>(
    wanted: T,
    live?: KubernetesObject | null,
    options?: ApplyOptions,
  ): Promise<T | undefined>;
  /** Deletes the object; gone already counts. */
  delete(object: KubernetesObject, options?: ApplyOptions): Promise<void>;
}

export function createApplier({ cluster }: { cluster: Cluster }): Applier {
  return {
    apply: async <T extends KubernetesObject>(
      wanted: T,
      live?: KubernetesObject | null,
      options: ApplyOptions = {},
    ): Promise<T | undefined> => {
      const resource = cluster.resource<T>(await cluster.typeOf(wanted, options));
      const { signal, timeoutMs, attempts } = options;
      const known =
        live === undefined ? await resource.find(wanted.metadata, { signal, timeoutMs, attempts }) : live;
      const fieldManager = options.fieldManager ?? cluster.fieldManager;
      if (known != null && alreadyApplied(known, wanted, { fieldManager })) return undefined;
      return resource.apply(wanted, options);
    },
    delete: async (object, { signal, timeoutMs, attempts } = {}) => {
      const call = { signal, timeoutMs, attempts };
      const { uid } = object.metadata;
      await cluster.resource(await cluster.typeOf(object, call)).delete(object.metadata, { ...call, uid });
    },
  };
}
