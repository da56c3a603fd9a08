/**
 * Makes objects of any kind so (a Secret that a controller owns, a ScaledObject): server-side apply, left out when the live
 * object already says so.
 *
 * It may say so in other words: a server adds defaults and rewrites quantities. So the applier also remembers, by hash,
 * what it applied last and how those fields looked then: as long as they look the same, the same again is left out.
 */
import { createHash } from 'node:crypto';
import { alreadyApplied, sameFields } from './applied.ts';
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

/** Remembered objects at most: a uid and a hash each. */
const REMEMBERED = 20_000;

export function createApplier({ cluster }: { cluster: Cluster }): Applier {
  /** By uid: what was applied, and what became of it. */
  const applied = new Map<string, string>();
  const remember = (uid: string, mark: string) => {
    applied.delete(uid);
    applied.set(uid, mark);
    const [eldest] = applied.keys();
    if (applied.size > REMEMBERED && eldest !== undefined) applied.delete(eldest);
  };

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
      const markOf = (object: KubernetesObject) => hash([fieldManager, wanted, sameFields(object, wanted)]);
      if (known != null) {
        if (alreadyApplied(known, wanted, { fieldManager })) return undefined;
        const { uid } = known.metadata;
        if (uid !== undefined && applied.has(uid) && applied.get(uid) === markOf(known)) return undefined;
      }
      const result = await resource.apply(wanted, options);
      const { uid } = result.metadata;
      if (uid !== undefined && options.dryRun !== true) remember(uid, markOf(result));
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
function hash(parts: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
