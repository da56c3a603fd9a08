/**
 * What ajv finds, said in the API server's words (`k8s.io/apimachinery/pkg/util/validation/field` and
 * `kube-openapi/pkg/validation/errors`), so that a mistake reads the same in a folder and in a cluster.
 */
import type { ErrorObject } from 'ajv';
import { fieldOf, isRecord } from './schema.ts';
import type { Path } from './schema.ts';

export interface Finding {
  path: Path;
  /** The path names something that is missing, so its place is that of its parent. */
  missing?: boolean;
  /** The path's key is the mistake, not its value. */
  atKey?: boolean;
  /** With the field: `spec.delivery.prefetch: Invalid value: -1: spec.delivery.prefetch in body should be …`. */
  sentence: string;
  /** The API server evaluates no CEL rule after a finding like this one. */
  blocksRules: boolean;
}

/** JSON Pointer to path. Whether a step is an index is decided by what lies there. */
function pathOf(pointer: string, root: unknown): (string | number)[] {
  let here = root;
  return pointer
    .split('/')
    .slice(1)
    .map((part) => {
      const step = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (Array.isArray(here)) {
        here = here[Number(step)];
        return Number(step);
      }
      here = isRecord(here) ? here[step] : undefined;
      return step;
    });
}

/** A value as Go's field errors print it: strings quoted, everything else as JSON. */
export function show(value: unknown): string {
  return value === undefined ? 'null' : JSON.stringify(value);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function limitOf(error: ErrorObject): number {
  return Number((error.params as { limit?: unknown }).limit);
}

export function findingOf(error: ErrorObject, root: unknown): Finding {
  const path = pathOf(error.instancePath, root);
  const field = fieldOf(path);
  const value = error.data;
  const limit = limitOf(error);
  const invalid = (shown: unknown, says: string): Finding => ({
    path,
    sentence: `${field}: Invalid value: ${show(shown)}: ${field} in body ${says}`,
    blocksRules: false,
  });
  switch (error.keyword) {
    case 'required': {
      const missing = [...path, String((error.params as { missingProperty?: unknown }).missingProperty)];
      return {
        path: missing,
        missing: true,
        sentence: `${fieldOf(missing)}: Required value`,
        blocksRules: true,
      };
    }
    case 'type':
      return {
        ...invalid(typeOf(value), `must be of type ${String(error.schema)}: ${show(typeOf(value))}`),
        blocksRules: true,
      };
    case 'enum': {
      const allowed = (error.schema as unknown[]).map((one) => show(String(one))).join(', ');
      return {
        path,
        sentence: `${field}: Unsupported value: ${show(value)}: supported values: ${allowed}`,
        blocksRules: true,
      };
    }
    case 'maxLength':
      return {
        path,
        sentence: `${field}: Too long: may not be more than ${limit} ${limit === 1 ? 'byte' : 'bytes'}`,
        blocksRules: true,
      };
    case 'maxItems':
    case 'maxProperties': {
      const size = Array.isArray(value) ? value.length : Object.keys(value as object).length;
      return {
        path,
        sentence: `${field}: Too many: ${size}: must have at most ${limit} ${limit === 1 ? 'item' : 'items'}`,
        blocksRules: true,
      };
    }
    case 'minItems':
      return invalid((value as unknown[]).length, `should have at least ${limit} items`);
    case 'minProperties':
      return invalid(Object.keys(value as object).length, `should have at least ${limit} properties`);
    case 'minLength':
      return invalid(value, `should be at least ${limit} chars long`);
    case 'pattern':
      return invalid(value, `should match '${String(error.schema)}'`);
    case 'minimum':
      return invalid(value, `should be greater than or equal to ${limit}`);
    case 'exclusiveMinimum':
      return invalid(value, `should be greater than ${limit}`);
    case 'maximum':
      return invalid(value, `should be less than or equal to ${limit}`);
    case 'exclusiveMaximum':
      return invalid(value, `should be less than ${limit}`);
    case 'multipleOf':
      return invalid(
        value,
        `should be a multiple of ${Number((error.params as { multipleOf?: unknown }).multipleOf)}`,
      );
    case 'uniqueItems':
      return invalid('', `shouldn't contain duplicates`);
    default:
      return invalid(value, error.message ?? error.keyword);
  }
}
