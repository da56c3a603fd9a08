/**
 * Would a server-side apply change anything? If not, it need not be sent.
 *
 * It would not when the live object has every field that is wanted, with that value, and this manager owns no field
 * besides. Where the live object still has its `managedFields`, that is exact. Where they were dropped (a reflector drops
 * them by default), what is wanted must equal the live object, field by field at the top; of `metadata` it must be a part.
 */
import type { KubernetesObject, ManagedFields } from './object.ts';

export interface AppliedBy {
  fieldManager: string;
  /** `status`, when it is applied through that. */
  subresource?: string;
}

export function alreadyApplied(live: KubernetesObject, wanted: object, by: AppliedBy): boolean {
  if (!covers(live, wanted)) return false;
  const { managedFields } = live.metadata;
  if (managedFields === undefined) {
    return Object.entries(wanted).every(
      ([name, value]) => isIdentity(name) || equal(fieldOf(live, name), value),
    );
  }
  const mine = managedFields.find((entry) => isMine(entry, by));
  return mine?.fieldsV1 !== undefined && ownsNothingBut(mine.fieldsV1, wanted, live);
}

/** Equal as JSON: a field that is undefined is not there. */
export function equal(a: unknown, b: unknown): boolean {
  return covers(a, b) && covers(b, a);
}

/** What `live` says where `wanted` says something: compared over time, it tells whether anybody touched our fields. */
export function sameFields(live: unknown, wanted: unknown): unknown {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) return live;
  return Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => [name, sameFields(fieldOf(live, name), value)]),
  );
}

/** Does `whole` have everything that `part` has? Lists must be equal. */
function covers(whole: unknown, part: unknown): boolean {
  if (part === undefined || Object.is(whole, part)) return true;
  if (typeof whole !== 'object' || typeof part !== 'object' || whole === null || part === null) return false;
  if (Array.isArray(whole) || Array.isArray(part)) {
    if (!Array.isArray(whole) || !Array.isArray(part) || whole.length !== part.length) return false;
    return whole.every((item, at) => equal(item, part[at]));
  }
  return Object.entries(part).every(([name, value]) => covers(fieldOf(whole, name), value));
}

function isIdentity(name: string): boolean {
  return name === 'apiVersion' || name === 'kind' || name === 'metadata';
}

function isMine(entry: ManagedFields, { fieldManager, subresource }: AppliedBy): boolean {
  const inside = entry.subresource === undefined || entry.subresource === '' ? undefined : entry.subresource;
  return entry.manager === fieldManager && entry.operation === 'Apply' && inside === subresource;
}

/**
 * Walks the FieldsV1 format: `f:name` is a field, `k:{…}` a list item by its keys, `v:…` one by its value, `.` the thing itself.
 * What has nothing inside is owned as a whole: a value, or a map or list that its schema calls atomic.
 */
function ownsNothingBut(owned: Record<string, unknown>, wanted: unknown, live: unknown): boolean {
  return Object.entries(owned).every(([path, inside]) => {
    if (path === '.') return true;
    const selector = path.slice(2);
    const [there, found] = [live, wanted].map((each) =>
      path.startsWith('f:') ? fieldOf(each, selector) : itemOf(each, path[0], selector),
    );
    const parts = (inside ?? {}) as Record<string, unknown>;
    if (found === undefined) return false;
    return Object.keys(parts).length === 0 ? equal(there, found) : ownsNothingBut(parts, found, there);
  });
}

function itemOf(list: unknown, kind: string | undefined, selector: string): unknown {
  if (!Array.isArray(list)) return undefined;
  const value = JSON.parse(selector) as unknown;
  if (kind === 'i') return list[Number(value)];
  return (list as unknown[]).find((item) => (kind === 'k' ? covers(item, value) : equal(item, value)));
}

function fieldOf(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, name)) return undefined;
  return (object as Record<string, unknown>)[name];
}
