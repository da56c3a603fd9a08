/**
 * The CRD's CEL rules (`x-kubernetes-validations`), evaluated where there is no API server.
 * Rules are compiled once; a rule of ours that does not compile is our mistake and throws at the start.
 */
import { Environment } from '@marcbachmann/cel-js';
import { fieldOf, isRecord } from './schema.ts';
import type { Path, Rule, Schema } from './schema.ts';
import { show } from './sentences.ts';
import type { Finding } from './sentences.ts';

type Program = (context: Record<string, unknown>) => unknown;

const environment = new Environment({ unlistedVariablesAreDyn: false, enableOptionalTypes: true })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn');

const programs = new Map<string, Program>();

function program(expression: string): Program {
  let compiled = programs.get(expression);
  if (compiled === undefined) {
    compiled = environment.parse(expression) as Program;
    programs.set(expression, compiled);
  }
  return compiled;
}

/** CEL tells integers from doubles; JavaScript does not. The schema says which is which. */
function celValue(schema: Schema | undefined, value: unknown): unknown {
  if (typeof value === 'number')
    return schema?.type === 'integer' && Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((item) => celValue(schema?.items, item));
  if (!isRecord(value)) return value;
  const additional = isRecord(schema?.additionalProperties) ? schema.additionalProperties : undefined;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [
      name,
      celValue(schema?.properties?.[name] ?? additional, child),
    ]),
  );
}

function usesOldSelf(rule: Rule): boolean {
  return /\boldSelf\b/.test(rule.rule);
}

function sentenceOf(rule: Rule, context: Record<string, unknown>): string {
  if (rule.messageExpression !== undefined) {
    const said = program(rule.messageExpression)(context);
    if (typeof said === 'string') return said;
  }
  return rule.message ?? `failed rule: ${rule.rule}`;
}

function kindOfError(rule: Rule, shown: string): string {
  switch (rule.reason) {
    case 'FieldValueForbidden':
      return 'Forbidden: ';
    case 'FieldValueRequired':
      return 'Required value: ';
    case 'FieldValueDuplicate':
      return `Duplicate value${shown}: `;
    default:
      return `Invalid value${shown}: `;
  }
}

/** Compiles every rule of a schema, so that a bad one is found at the start and not at the first resource. */
export function compileRules(schema: Schema): void {
  for (const rule of schema['x-kubernetes-validations'] ?? []) {
    program(rule.rule);
    if (rule.messageExpression !== undefined) program(rule.messageExpression);
  }
  for (const property of Object.values(schema.properties ?? {})) compileRules(property);
  if (schema.items !== undefined) compileRules(schema.items);
  if (isRecord(schema.additionalProperties)) compileRules(schema.additionalProperties);
}

/**
 * What the rules of a schema find in a value. `old` is the version in force before: rules with `oldSelf` compare with it
 * and are not evaluated where there is none.
 */
export function brokenRules(schema: Schema, value: unknown, old: unknown, path: Path = []): Finding[] {
  if (value === null || value === undefined) return [];
  const findings: Finding[] = [];
  const rules = schema['x-kubernetes-validations'] ?? [];
  if (rules.length > 0) {
    const context = { self: celValue(schema, value), oldSelf: celValue(schema, old) };
    for (const rule of rules) {
      if (usesOldSelf(rule) && old === undefined) continue;
      const finding = evaluate(rule, context, schema, value, path);
      if (finding !== undefined) findings.push(finding);
    }
  }
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items !== undefined) {
      value.forEach((item, index) => findings.push(...brokenRules(items, item, undefined, [...path, index])));
    }
  } else if (isRecord(value)) {
    const before = isRecord(old) ? old : {};
    for (const [name, child] of Object.entries(value)) {
      const property =
        schema.properties?.[name] ??
        (isRecord(schema.additionalProperties) ? schema.additionalProperties : undefined);
      if (property !== undefined)
        findings.push(...brokenRules(property, child, before[name], [...path, name]));
    }
  }
  return findings;
}

function evaluate(
  rule: Rule,
  context: Record<string, unknown>,
  schema: Schema,
  value: unknown,
  path: Path,
): Finding | undefined {
  const at = rule.fieldPath === undefined ? path : [...path, ...stepsOf(rule.fieldPath)];
  const shown = schema.type === 'object' || schema.type === 'array' ? '' : `: ${show(value)}`;
  const prefix = at.length === 0 ? '<nil>' : fieldOf(at);
  let says: string;
  try {
    if (program(rule.rule)(context) === true) return undefined;
    says = sentenceOf(rule, context);
  } catch (error) {
    // Overflow, no such key: the API server refuses the resource as well, and says which rule could not be evaluated.
    says = `${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)} evaluating rule: ${rule.message ?? rule.rule}`;
  }
  return { path: at, sentence: `${prefix}: ${kindOfError(rule, shown)}${says}`, blocksRules: false };
}

/** `.spec.events[0]` or `.spec['a.b']`. */
function stepsOf(fieldPath: string): (string | number)[] {
  return [...fieldPath.matchAll(/\.([^.[\]]+)|\['([^']*)'\]|\[(\d+)\]/g)].map(([, name, quoted, index]) =>
    index === undefined ? (name ?? quoted ?? '') : Number(index),
  );
}
