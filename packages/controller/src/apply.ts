/**
 * Makes objects of any kind so (a Secret that a controller owns, a ScaledObject): server-side apply, left out when the live
 * object already says so.
 *
 * It may say so in other words: a server adds defaults and rewrites quantities. So the applier also remembers, by hash,
 * what it applied last and which version came of that: the same again to the same version is left out as well.
 */
import { createHash } from 'node:crypto';
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

/** Remembered objects at most: a hash and a version each. */
const REMEMBERED = 20_000;

export function createApplier({ cluster }: { cluster: Cluster }): Applier {
  /** By uid: what was applied, and the version that it made. */
  const applied = new Map<string, string>();
  const remember = ({ metadata: { uid, resourceVersion } }: KubernetesObject, wanted: object) => {
    if (uid === undefined || resourceVersion === undefined) return;
    applied.delete(uid);
    applied.set(uid, mark(wanted, resourceVersion));
    const [eldest] = applied.keys();
    if (applied.size > REMEMBERED && eldest !== undefined) applied.delete(eldest);
  };
  const isRemembered = ({ metadata: { uid, resourceVersion } }: KubernetesObject, wanted: object) =>
    uid !== undefined && resourceVersion !== undefined && applied.get(uid) === mark(wanted, resourceVersion);

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
      const asking = { fieldManager, wanted };
      if (known != null && (isRemembered(known, asking) || alreadyApplied(known, wanted, { fieldManager }))) {
        return undefined;
      }
      const result = await resource.apply(wanted, options);
      if (options.dryRun !== true) remember(result, asking);
      return result;
    },
    delete: async (object, { signal, timeoutMs, attempts } = {}) => {
      const call = { signal, timeoutMs, attempts };
      const { uid } = object.metadata;
      await cluster.resource(await cluster.typeOf(object, call)).delete(object.metadata, { ...call, uid });
    },
  };
}

/** Hashed, because what is wanted may be a Secret. */
function mark(wanted: object, resourceVersion: string): string {
  return createHash('sha256')
    .update(`${resourceVersion}\0${JSON.stringify(wanted)}`)
    .digest('base64');
}
