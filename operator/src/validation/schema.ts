/**
 * The structural schema of a custom resource, as far as Warren's CRDs use it, and what follows from it alone:
 * defaults and unknown fields. The CRD file is the only description of a valid resource (ADR 0006).
 */

export interface Rule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

export interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  required?: string[];
  default?: unknown;
  nullable?: boolean;
  'x-kubernetes-validations'?: Rule[];
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  [keyword: string]: unknown;
}

/** Where a value lies in a resource: `['spec', 'events', 0]`. */
export type Path = readonly (string | number)[];

/** `spec.events[0]`, as the API server writes it. */
export function fieldOf(path: Path): string {
  let field = '';
  for (const step of path) {
    if (typeof step === 'number') field += `[${step}]`;
    else field += field === '' ? step : `.${step}`;
  }
  return field;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The value with the schema's defaults filled in, as the API server does before it validates: a missing field gets its
 * default, and so does one that is null where null is not allowed. The value given is not changed.
 */
export function withDefaults(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = schema.items;
    return items === undefined ? value : value.map((item) => withDefaults(items, item));
  }
  if (!isRecord(value)) return value;
  const result: Record<string, unknown> = { ...value };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const missing = result[name] === undefined || (result[name] === null && property.nullable !== true);
    if (missing && property.default !== undefined) result[name] = structuredClone(property.default);
    if (result[name] !== undefined) result[name] = withDefaults(property, result[name]);
  }
  if (isRecord(schema.additionalProperties)) {
    for (const name of Object.keys(result)) {
      if (schema.properties?.[name] === undefined)
        result[name] = withDefaults(schema.additionalProperties, result[name]);
    }
  }
  return result;
}

/** The fields that the schema does not know. A cluster would drop them; `kubectl apply` refuses them, and so do we. */
export function unknownFields(schema: Schema, value: unknown, path: Path = []): Path[] {
  if (Array.isArray(value)) {
    const items = schema.items;
    return items === undefined
      ? []
      : value.flatMap((item, index) => unknownFields(items, item, [...path, index]));
  }
  if (!isRecord(value) || schema['x-kubernetes-preserve-unknown-fields'] === true) return [];
  return Object.entries(value).flatMap(([name, child]) => {
    const property = schema.properties?.[name];
    if (property !== undefined) return unknownFields(property, child, [...path, name]);
    if (isRecord(schema.additionalProperties))
      return unknownFields(schema.additionalProperties, child, [...path, name]);
    return schema.additionalProperties === true ? [] : [[...path, name]];
  });
}

/** The part of `metadata` that a person may write. Everything else in it is the API server's. */
export const metadataSchema: Schema = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    namespace: { type: 'string' },
    generateName: { type: 'string' },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    annotations: { type: 'object', additionalProperties: { type: 'string' } },
    finalizers: { type: 'array', items: { type: 'string' } },
    ownerReferences: { type: 'array', items: { 'x-kubernetes-preserve-unknown-fields': true } },
    uid: { type: 'string' },
    resourceVersion: { type: 'string' },
    generation: { type: 'integer' },
    creationTimestamp: { type: 'string' },
    deletionTimestamp: { type: 'string' },
    deletionGracePeriodSeconds: { type: 'integer' },
    selfLink: { type: 'string' },
    managedFields: { type: 'array', items: { 'x-kubernetes-preserve-unknown-fields': true } },
  },
};
