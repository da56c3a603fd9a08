/**
 * A validator for one kind, made from its CustomResourceDefinition: the same schema, the same defaults, the same rules and
 * the same sentences as the API server's. See ADR 0006 and the contract test beside it.
 */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import type { ValidateFunction } from 'ajv';
import { parseDocument } from 'yaml';
import { brokenRules, compileRules } from './rules.ts';
import { fieldOf, isRecord, metadataSchema, unknownFields, withDefaults } from './schema.ts';
import type { Schema } from './schema.ts';
import { findingOf, show } from './sentences.ts';
import type { Finding } from './sentences.ts';

export interface KindValidator {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** The resource as the API server would store it, and what is wrong with it. Without findings it is valid. */
  validate(resource: unknown, old?: unknown): { resource: Record<string, unknown>; findings: Finding[] };
}

interface Definition {
  spec: {
    group: string;
    scope: string;
    names: { kind: string };
    versions: { name: string; storage: boolean; schema: { openAPIV3Schema: Schema } }[];
  };
}

/** Reads the CRDs of the chart. The first one of a kind wins. */
export function loadValidators(files: readonly string[]): Map<string, KindValidator> {
  const validators = new Map<string, KindValidator>();
  for (const file of files) {
    const definition = parseDocument(readFileSync(file, 'utf8')).toJS() as Definition;
    const validator = validatorOf(definition);
    validators.set(validator.kind, validator);
  }
  return validators;
}

export function validatorOf(definition: Definition): KindValidator {
  const { group, scope, names, versions } = definition.spec;
  const version = versions.find((one) => one.storage) ?? versions[0];
  if (version === undefined) throw new TypeError(`the CRD of ${names.kind} has no version`);
  const schema = rootSchema(version.schema.openAPIV3Schema);
  const checkShape = compileShape(schema);
  compileRules(schema);
  const apiVersion = `${group}/${version.name}`;
  return {
    apiVersion,
    kind: names.kind,
    namespaced: scope === 'Namespaced',
    validate(resource, old) {
      const given = isRecord(resource) ? resource : {};
      const { status: _status, ...written } = given;
      const unknown = unknownFields(schema, written).map((path): Finding => ({
        path,
        atKey: true,
        sentence: `unknown field ${show(fieldOf(path))}`,
        blocksRules: true,
      }));
      const defaulted = withDefaults(schema, written) as Record<string, unknown>;
      // A field that nobody knows is refused before anything else is looked at: what follows from a typing mistake
      // (a required field is missing) would only bury it.
      if (unknown.length > 0) return { resource: defaulted, findings: unknown };
      const findings = [...namingMistakes(defaulted), ...shapeMistakes(checkShape, defaulted)];
      if (!findings.some((finding) => finding.blocksRules))
        findings.push(...brokenRules(schema, defaulted, old));
      return { resource: defaulted, findings };
    },
  };
}

function rootSchema(schema: Schema): Schema {
  const { status: _status, metadata, ...properties } = schema.properties ?? {};
  return {
    ...schema,
    properties: {
      ...properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      // A CRD may narrow the name, and nothing else of it.
      metadata: { ...metadataSchema, properties: { ...metadataSchema.properties, ...metadata?.properties } },
    },
  };
}

function compileShape(schema: Schema): ValidateFunction {
  // `strict: false`: a CRD carries keywords that only Kubernetes knows. Formats are annotations there as well.
  const ajv = new Ajv({ strict: false, allErrors: true, verbose: true, validateFormats: false });
  return ajv.compile(schema);
}

function shapeMistakes(check: ValidateFunction, resource: unknown): Finding[] {
  if (check(resource)) return [];
  return (check.errors ?? []).map((error) => findingOf(error, resource));
}

const SUBDOMAIN = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

/** What the API server demands of every object's name and namespace. */
function namingMistakes(resource: Record<string, unknown>): Finding[] {
  const metadata = isRecord(resource['metadata']) ? resource['metadata'] : {};
  const { name, namespace } = metadata;
  if (name === undefined)
    return [
      {
        path: ['metadata', 'name'],
        missing: true,
        sentence: 'metadata.name: Required value: name or generateName is required',
        blocksRules: true,
      },
    ];
  const findings: Finding[] = [];
  if (typeof name === 'string' && !matches(SUBDOMAIN, 253, name))
    findings.push({
      path: ['metadata', 'name'],
      sentence:
        `metadata.name: Invalid value: ${show(name)}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric ` +
        `characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for ` +
        `validation is '${SUBDOMAIN}')`,
      blocksRules: false,
    });
  if (typeof namespace === 'string' && !matches(LABEL, 63, namespace))
    findings.push({
      path: ['metadata', 'namespace'],
      sentence:
        `metadata.namespace: Invalid value: ${show(namespace)}: a lowercase RFC 1123 label must consist of lower case ` +
        `alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', ` +
        `regex used for validation is '${LABEL}')`,
      blocksRules: false,
    });
  return findings;
}

function matches(pattern: string, longest: number, text: string): boolean {
  return text.length <= longest && new RegExp(`^${pattern}$`).test(text);
}
