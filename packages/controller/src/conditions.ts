/**
 * Conditions as KEP-1623 and every tool that reads them expect: one of each type, `lastTransitionTime` moves only when
 * the status does, `observedGeneration` says which spec was looked at.
 */

export type ConditionStatus = 'True' | 'False' | 'Unknown';

export interface Condition {
  type: string;
  status: ConditionStatus;
  /** One CamelCase word, for machines. */
  reason: string;
  /** A sentence, for people. */
  message: string;
  /** RFC 3339, in seconds. */
  lastTransitionTime: string;
  observedGeneration?: number;
}

export type NewCondition = Omit<Condition, 'lastTransitionTime'>;

/** The conditions with one set. The very same array when that changes nothing. */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  wanted: NewCondition,
  now: Date = new Date(),
): readonly Condition[] {
  const all = conditions ?? [];
  const before = findCondition(all, wanted.type);
  const same =
    before?.status === wanted.status &&
    before.reason === wanted.reason &&
    before.message === wanted.message &&
    before.observedGeneration === wanted.observedGeneration;
  if (same) return all;
  const lastTransitionTime =
    before?.status === wanted.status ? before.lastTransitionTime : now.toISOString().replace(/\.\d+Z$/, 'Z');
  const next: Condition = { ...wanted, lastTransitionTime };
  return before === undefined ? [...all, next] : all.map((one) => (one === before ? next : one));
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((one) => one.type === type);
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}
