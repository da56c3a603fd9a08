/** Conditions as Kubernetes knows them: the time is that of the last change of `status`, and of nothing else. */
import type { Condition } from './resources.ts';

export type Said = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** What is said now, with the times of before where the status did not change. Sorted by type, so that equal is equal. */
export function conditionsAfter(
  before: readonly Condition[] | undefined,
  said: readonly Said[],
  generation: number | undefined,
  now: string,
): Condition[] {
  return said
    .map((one) => {
      const old = before?.find(({ type }) => type === one.type);
      const lastTransitionTime = old?.status === one.status ? old.lastTransitionTime : now;
      return {
        ...one,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        lastTransitionTime,
      };
    })
    .sort((a, b) => a.type.localeCompare(b.type));
}

export function conditionOf(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((one) => one.type === type);
}
