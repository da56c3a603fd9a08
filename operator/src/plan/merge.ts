/**
 * The patch that `kubectl apply` makes of what was applied last, what is to be applied and what is there: fields that were
 * applied and are in the file no more go, fields of the file are set, and what somebody else has set stays. Pure.
 */
import { isSameJson } from './fields.ts';

type Fields = Record<string, unknown>;

/** A JSON merge patch (RFC 7386); empty where nothing changes. Lists are replaced as a whole, as for every custom resource. */
export function threeWayPatch(last: unknown, wanted: unknown, there: unknown): Fields {
  const patch: Fields = {};
  const [applied, file, live] = [fieldsOf(last), fieldsOf(wanted), fieldsOf(there)];
  for (const name of Object.keys(applied)) if (!(name in file) && name in live) patch[name] = null;
  for (const [name, value] of Object.entries(file)) {
    if (isSameJson(value, live[name])) continue;
    if (!isFields(value) || !isFields(live[name])) {
      patch[name] = value;
      continue;
    }
    const inner = threeWayPatch(applied[name], value, live[name]);
    if (Object.keys(inner).length > 0) patch[name] = inner;
  }
  return patch;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}
