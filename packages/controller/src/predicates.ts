/** Which changes are worth a reconcile. A predicate is a function of a change; `any`, `all` and `not` combine them. */
import type { Change } from './observed-store.ts';
import type { KubernetesObject } from './object.ts';

export type Predicate<T extends KubernetesObject = KubernetesObject> = (change: Change<T>) => boolean;

/** Additions and deletions always count; updates when `differs` says so. */
function updates(differs: (previous: KubernetesObject, object: KubernetesObject) => boolean): Predicate {
  return ({ previous, object, type }) =>
    type !== 'updated' || previous === undefined || differs(previous, object);
}

export const predicates = {
  /** The spec changed: not merely the status. Deleting an object with finalizers counts, too. */
  generationChanged: updates((a, b) => a.metadata.generation !== b.metadata.generation),
  labelsChanged: updates((a, b) => !sameRecord(a.metadata.labels, b.metadata.labels)),
  annotationsChanged: updates((a, b) => !sameRecord(a.metadata.annotations, b.metadata.annotations)),
  /** Somebody asked for the deletion, and the finalizers hold it up. */
  deletionStarted: updates((a, b) => a.metadata.deletionTimestamp !== b.metadata.deletionTimestamp),
  finalizersChanged: updates((a, b) => String(a.metadata.finalizers) !== String(b.metadata.finalizers)),
  any:
    <T extends KubernetesObject>(...of: Predicate<T>[]): Predicate<T> =>
    (change) =>
      of.some((predicate) => predicate(change)),
  all:
    <T extends KubernetesObject>(...of: Predicate<T>[]): Predicate<T> =>
    (change) =>
      of.every((predicate) => predicate(change)),
  not:
    <T extends KubernetesObject>(predicate: Predicate<T>): Predicate<T> =>
    (change) =>
      !predicate(change),
};

function sameRecord(a: Record<string, string> = {}, b: Record<string, string> = {}): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
