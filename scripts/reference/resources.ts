/** `docs/reference/resources.md`: every field of Warren's resources, made from their CustomResourceDefinitions. */

export interface Schema {
  description?: string;
  type?: string;
  enum?: string[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  'x-kubernetes-validations'?: { message?: string }[];
}

export interface Definition {
  spec: {
    group: string;
    scope: string;
    names: { kind: string; plural: string; shortNames?: string[] };
    versions: {
      name: string;
      schema: { openAPIV3Schema: Schema };
      additionalPrinterColumns?: { name: string; jsonPath: string; priority?: number }[];
    }[];
  };
}

/** The page, in Markdown, ending with a newline. */
export function renderResourcesReference(definitions: readonly Definition[]): string {
  return [
    '# Resources',
    '',
    '<!-- Made from charts/warren/crds by `npm run docs`; do not edit. -->',
    '',
    'A field that is not listed is refused, and so is a value against a rule; the sentence under "refused" is what `kubectl apply`, or the operator in folder mode, says. Durations are a whole number and a unit: `500ms`, `30s`, `5m`, `2h`, and `14d` where days are allowed.',
    ...definitions.flatMap(section),
    '',
  ].join('\n');
}

function section({ spec: { group, scope, names, versions } }: Definition): string[] {
  return versions.flatMap(({ name, schema: { openAPIV3Schema: root }, additionalPrinterColumns = [] }) => {
    const short = names.shortNames?.[0] ?? names.plural;
    const shown = additionalPrinterColumns.map(
      (column) => `${column.name}${(column.priority ?? 0) > 0 ? ' (wide)' : ''}`,
    );
    return [
      '',
      `## ${names.kind}`,
      '',
      root.description ?? '',
      '',
      `\`apiVersion: ${group}/${name}\`, ${scope.toLowerCase()}. \`kubectl get ${short}\` shows: ${shown.join(', ')}.`,
      ...rules(root).map((message) => `\nRefused: ${message}.`),
      ...table('spec', root.properties?.['spec']),
      ...table('status', root.properties?.['status']),
    ];
  });
}

function table(name: string, schema: Schema | undefined): string[] {
  if (schema === undefined) return [];
  return [
    '',
    `### ${name}`,
    '',
    '| field | type | default | meaning |',
    '|---|---|---|---|',
    ...fieldsOf(schema, '').map(
      ({ path, kind, preset, meaning }) =>
        `| \`${path}\` | ${cell(kind)} | ${cell(preset)} | ${cell(meaning)} |`,
    ),
  ];
}

interface Field {
  path: string;
  kind: string;
  preset: string;
  meaning: string;
}

function fieldsOf(schema: Schema, prefix: string): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = `${prefix}${name}`;
    const required = schema.required?.includes(name) === true;
    const refused = [...rules(property), ...(property.items === undefined ? [] : rules(property.items))];
    const own: Field = {
      path,
      kind: kindOf(property),
      preset: presetOf(property, required),
      meaning: [property.description, ...refused.map((message) => `Refused: ${message}.`)]
        .filter((text) => text !== undefined && text !== '')
        .join(' '),
    };
    const nested = fieldsOf(property, `${path}.`);
    const listed = property.items === undefined ? [] : fieldsOf(property.items, `${path}[].`);
    return [own, ...nested, ...listed];
  });
}

function kindOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.type === 'array')
    return `list of ${schema.items?.type ?? 'values'}${range(schema.minItems, schema.maxItems)}`;
  return `${schema.type ?? ''}${range(schema.minimum, schema.maximum)}`;
}

function range(from: number | undefined, to: number | undefined): string {
  if (from === undefined && to === undefined) return '';
  if (to === undefined) return `, from ${from ?? ''}`;
  return from === undefined ? `, up to ${to}` : `, ${from} to ${to}`;
}

function presetOf(schema: Schema, required: boolean): string {
  if (required) return 'required';
  if (schema.default === undefined || schema.type === 'object') return '';
  return `\`${typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}\``;
}

/** The same rule stands at times in two places of a schema. */
function rules(schema: Schema): string[] {
  return [...new Set((schema['x-kubernetes-validations'] ?? []).flatMap(({ message }) => message ?? []))];
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
