/** What is other in a resource, field by field. */
import { isDeepStrictEqual } from 'node:util';

export interface FieldChange {
  /** `spec.delivery.prefetch` */
  path: string;
  /** Undefined where the field is new. */
  from?: unknown;
  /** Undefined where the field goes. */
  to?: unknown;
}

/** Lists are one value: what is in one is compared as a whole. */
export function fieldChanges(from: unknown, to: unknown, path: string): FieldChange[] {
  if (isSameJson(from, to)) return [];
  if (!isMap(from ?? {}) || !isMap(to ?? {}) || (from === undefined && to === undefined))
    return [change(path, from, to)];
  const [before, after] = [(from ?? {}) as Fields, (to ?? {}) as Fields];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  // An empty map that comes or goes has no field to tell of it.
  if (names.length === 0) return [change(path, from, to)];
  return names.flatMap((name) => fieldChanges(before[name], after[name], `${path}.${name}`));
}

/** Whether two values are the same once they are JSON, whatever the order of their keys. */
export function isSameJson(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(plainJson(one), plainJson(other));
}

/** Without what JSON does not carry. */
export function plainJson(value: unknown): unknown {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
}

type Fields = Record<string, unknown>;

function change(path: string, from: unknown, to: unknown): FieldChange {
  return { path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
