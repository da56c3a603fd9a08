/**
 * The events reference: `docs/reference/events.md`, made from the catalogue and from nothing else.
 *
 * A contract test compares the committed file with what this renders, so the page cannot grow stale.
 */
import { z } from 'zod';
import type { Catalogue } from './catalogue.ts';
import type { EventType, EventVersion } from './event-type.ts';
import { routingKeyOf } from './routing-key.ts';

/** The page, in Markdown, ending with a newline. */
export function renderEventsReference(catalogue: Catalogue): string {
  const types = catalogue.types();
  return [
    '# Events',
    '',
    '<!-- Made from the catalogue in packages/contracts by `npm run docs`; do not edit. -->',
    '',
    'Every event travels on the topic exchange `events` as a CloudEvent 1.0 in binary mode: the attributes are flat headers, the data below is the JSON body.',
    'Schemas are open: a field that is not listed is kept and ignored. A version that was ever published is never removed; older versions are upcast to the newest when they are read.',
    '',
    '| event | routing key | published by | versions | what happened |',
    '|---|---|---|---|---|',
    ...types.map(
      (type) =>
        `| [${type.type}](#${type.type.toLowerCase()}) | \`${routingKeyOf(type.type)}\` | ${type.owner} | ${[...type.versions.keys()].join(', ')} | ${cell(type.description)} |`,
    ),
    ...types.flatMap(section),
    '',
  ].join('\n');
}

function section(type: EventType): string[] {
  const newestFirst = [...type.versions].sort(([a], [b]) => b - a);
  return [
    '',
    `## ${type.type}`,
    '',
    type.description,
    '',
    `- Routing key: \`${routingKeyOf(type.type)}\``,
    `- Published by: ${type.owner}`,
    ...newestFirst.flatMap(([version, definition]) => versionSection(type, version, definition)),
  ];
}

function versionSection(type: EventType, version: number, { schema, example }: EventVersion): string[] {
  const newest = version === type.newest;
  return [
    '',
    `### Version ${version}${newest ? ', published now' : ''}`,
    '',
    ...(newest ? [] : [`Upcast to version ${version + 1} when it is read.`, '']),
    '| field | type | required | meaning |',
    '|---|---|---|---|',
    ...fieldsOf(z.toJSONSchema(schema, { io: 'input' })).map(
      ({ path, kind, required, meaning }) =>
        `| \`${path}\` | ${cell(kind)} | ${required ? 'yes' : 'no'} | ${cell(meaning)} |`,
    ),
    '',
    '```json',
    JSON.stringify(example, null, 2),
    '```',
    ...upcastExample(type, version, example),
  ];
}

function upcastExample(type: EventType, version: number, example: unknown): string[] {
  const upcaster = type.upcasters.get(version);
  if (!upcaster) return [];
  return [
    '',
    `becomes, as version ${version + 1}:`,
    '',
    '```json',
    JSON.stringify(upcaster(example), null, 2),
    '```',
  ];
}

type JsonSchema = z.core.JSONSchema._JSONSchema;
interface Field {
  readonly path: string;
  readonly kind: string;
  readonly required: boolean;
  readonly meaning: string;
}

/** The fields of an object, nested ones as `lines[].sku`. */
function fieldsOf(schema: JsonSchema, prefix = ''): Field[] {
  if (typeof schema === 'boolean') return [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = `${prefix}${name}`;
    if (typeof property === 'boolean') return [];
    const field = {
      path,
      kind: kindOf(property),
      required: schema.required?.includes(name) ?? false,
      meaning: property.description ?? '',
    };
    const items = Array.isArray(property.items) ? undefined : property.items;
    return [field, ...fieldsOf(property, `${path}.`), ...(items ? fieldsOf(items, `${path}[].`) : [])];
  });
}

function kindOf(schema: JsonSchema): string {
  if (typeof schema === 'boolean') return 'any';
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(' or ');
  if (schema.type === 'array') {
    return `array of ${schema.items && !Array.isArray(schema.items) ? kindOf(schema.items) : 'any'}`;
  }
  return [schema.type ?? 'any', ...limitsOf(schema)].join(', ');
}

function limitsOf(schema: Exclude<JsonSchema, boolean>): string[] {
  const limits: string[] = [];
  if (schema.minimum !== undefined && schema.minimum > Number.MIN_SAFE_INTEGER)
    limits.push(`from ${schema.minimum}`);
  if (schema.exclusiveMinimum !== undefined) limits.push(`more than ${schema.exclusiveMinimum}`);
  if (schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER)
    limits.push(`up to ${schema.maximum}`);
  if (schema.multipleOf !== undefined) limits.push(`in steps of ${schema.multipleOf}`);
  if (schema.minLength !== undefined && schema.minLength > 1)
    limits.push(`${schema.minLength} characters or more`);
  if (schema.minLength === 1) limits.push('not empty');
  if (schema.maxLength !== undefined) limits.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern !== undefined) limits.push(`matches \`${schema.pattern}\``);
  return limits;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
