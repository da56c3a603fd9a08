/** The pages of docs/reference that are made from code, by their file name. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderEventsReference, shopCatalogue } from '@warren/contracts';
import { parseDocument } from 'yaml';
import { renderErrorsReference } from './errors.ts';
import type { ErrorSource } from './errors.ts';
import { renderMetricsReference } from './metrics.ts';
import type { Readme } from './metrics.ts';
import { renderResourcesReference } from './resources.ts';
import type { Definition } from './resources.ts';

export const root = join(import.meta.dirname, '../..');

const errorFiles = {
  '@warren/contracts': 'packages/contracts',
  '@warren/event-store': 'packages/event-store',
  '@warren/rabbitmq': 'packages/rabbitmq',
  '@warren/service': 'packages/service',
  '@warren/controller': 'packages/controller',
  '@warren/operator': 'operator',
  '@warren/environment': 'environment',
};

const metricReadmes = {
  Services: 'packages/service',
  Operator: 'operator',
  'Controller runtime (in the operator)': 'packages/controller',
};

const definitionFiles = ['eventsubscriptions.yaml', 'eventpublishers.yaml', 'eventbrokers.yaml'];

export async function errorSources(): Promise<ErrorSource[]> {
  return Promise.all(
    Object.entries(errorFiles).map(async ([name, folder]) => ({
      name,
      text: await readFile(join(root, folder, 'src/errors.ts'), 'utf8'),
    })),
  );
}

async function metricSources(): Promise<Readme[]> {
  return Promise.all(
    Object.entries(metricReadmes).map(async ([name, folder]) => ({
      name,
      text: await readFile(join(root, folder, 'README.md'), 'utf8'),
    })),
  );
}

export async function renderPages(): Promise<ReadonlyMap<string, string>> {
  const definitions = await Promise.all(
    definitionFiles.map(
      async (file) =>
        parseDocument(await readFile(join(root, 'charts/warren/crds', file), 'utf8')).toJS() as Definition,
    ),
  );
  return new Map([
    ['events.md', renderEventsReference(shopCatalogue)],
    ['resources.md', renderResourcesReference(definitions)],
    ['errors.md', renderErrorsReference(await errorSources())],
    ['metrics.md', renderMetricsReference(await metricSources())],
  ]);
}
