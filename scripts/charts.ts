/**
 * `npm run charts`: writes what the charts hold of other places, so that there is one source of each. A test holds it.
 *
 * - the schemas of a subscription and of a publisher in values come from the CRDs, closed, so that Helm refuses a typo that the API server would prune;
 * - the schema of the shop's services is that of charts/service;
 * - the operator's dashboards are those of k8s/monitoring.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { parse } from 'yaml';

type Schema = Record<string, unknown>;

const root = join(import.meta.dirname, '..');
const dashboards = 'k8s/monitoring/grafana/dashboards';
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** What each file of the charts is to hold, by its path in the repository. */
export async function chartFiles(): Promise<Map<string, string>> {
  const service = JSON.parse(read('charts/service/values.schema.json')) as Schema & { $defs: Schema };
  service.$defs['subscription'] = specSchema('eventsubscriptions.yaml');
  service.$defs['publisher'] = specSchema('eventpublishers.yaml');
  const { $schema, title, $defs, ...entry } = service;
  const shop = {
    $schema,
    title: 'Values of the chart shop',
    type: 'object',
    additionalProperties: false,
    properties: {
      global: { type: 'object' },
      service: { $ref: '#/$defs/service' },
      services: {
        type: 'object',
        propertyNames: { pattern: '^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$' },
        additionalProperties: { $ref: '#/$defs/service' },
      },
    },
    $defs: { service: { title, ...entry }, ...$defs },
  };
  const files = new Map<string, string>();
  for (const [path, schema] of [
    ['charts/service/values.schema.json', service],
    ['charts/shop/values.schema.json', shop],
  ] as const)
    files.set(
      path,
      await format(JSON.stringify(schema), {
        ...(JSON.parse(read('.prettierrc.json')) as Schema),
        parser: 'json',
      }),
    );
  for (const name of readdirSync(join(root, dashboards)).filter((file) => file.endsWith('.json')))
    files.set(`charts/warren/dashboards/${name}`, read(`${dashboards}/${name}`));
  return files;
}

/** The spec of a resource as JSON Schema. */
function specSchema(definition: string): Schema {
  const crd = parse(read(`charts/warren/crds/${definition}`)) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: Schema } } } }[] };
  };
  const [version] = crd.spec.versions;
  if (version === undefined) throw new TypeError('the CRD has no version');
  return closed(version.schema.openAPIV3Schema.properties.spec) as Schema;
}

/** The same schema with nothing in it that only an API server reads, and no room for a typo. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(
    ([key]) => !key.startsWith('x-kubernetes-') && key !== 'default',
  );
  const result = Object.fromEntries(
    kept.map(([key, value]) => [
      key,
      key === 'properties'
        ? Object.fromEntries(Object.entries(value as Schema).map(([name, one]) => [name, closed(one)]))
        : closed(value),
    ]),
  );
  return 'properties' in result ? { ...result, additionalProperties: false } : result;
}

if (import.meta.main)
  for (const [path, content] of await chartFiles()) {
    if (read(path) === content) continue;
    writeFileSync(join(root, path), content);
    process.stdout.write(`wrote ${path}\n`);
  }
