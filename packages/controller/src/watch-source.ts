/**
 * A reflector as the source of a controller's keys.
 *
 * What was there before anybody looked comes at `Priority.Resync`, unless somebody waits for its deletion; that, and every
 * later change, comes at `Priority.Normal`. A reflector
 * may feed several sources; it is started by the first and stopped with the last.
 */
import type { KubernetesObject } from './object.ts';
import type { Predicate } from './predicates.ts';
import type { Change } from './observed-store.ts';
import type { Reflector } from './reflector.ts';
import { Priority } from './source.ts';
import type { Enqueue, Source } from './source.ts';

export interface WatchSourceOptions<T extends KubernetesObject> {
  name?: string;
  /** Default: every change. */
  predicate?: Predicate<T>;
  /** Which keys a change concerns. Default: the object's own. For a Secret: the keys of those that refer to it. */
  map?: (change: Change<T>) => Iterable<string>;
  /** Default: as told above. */
  priority?: (change: Change<T>) => number;
}

export function watchSource<T extends KubernetesObject>(
  reflector: Reflector<T>,
  {
    name = 'watch',
    predicate,
    map = ({ key }) => [key],
    priority = usualPriority,
  }: WatchSourceOptions<T> = {},
): Source {
  let detach: (() => void) | undefined;
  return {
    name,
    synced: reflector.synced,
    start: (enqueue: Enqueue) => {
      detach ??= reflector.onChange((change) => {
        if (predicate !== undefined && !predicate(change)) return;
        const options = { priority: priority(change) };
        for (const key of map(change)) enqueue(key, options);
      });
      reflector.start();
    },
    stop: async () => {
      detach?.();
      detach = undefined;
      if (reflector.handlers === 0) await reflector.stop();
    },
  };
}

/** The controlling owner's key, for objects that a controller made: `map: ownedBy('EventSubscription')`. */
export function ownedBy(kind: string): (change: Change<KubernetesObject>) => string[] {
  return ({ object }) => {
    const owner = object.metadata.ownerReferences?.find(
      (one) => one.controller === true && one.kind === kind,
    );
    if (owner === undefined) return [];
    const { namespace } = object.metadata;
    return [namespace === undefined ? owner.name : `${namespace}/${owner.name}`];
  };
}

function usualPriority({ initial, object }: Change<KubernetesObject>): number {
  return initial && object.metadata.deletionTimestamp === undefined ? Priority.Resync : Priority.Normal;
}
