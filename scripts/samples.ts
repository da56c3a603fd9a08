/** What the resources of a folder need beside themselves: Secrets of brokers, and namespaces. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

export interface SampleNeeds {
  /** The Secrets that EventBrokers name. */
  readonly brokerSecrets: readonly { readonly namespace: string; readonly name: string }[];
  /** Where the EventSubscriptions live. */
  readonly namespaces: readonly string[];
}

interface Document {
  kind?: string;
  metadata?: { namespace?: string };
  spec?: { secretRef?: { namespace?: string; name?: string } };
}

export async function needsOf(folder: string): Promise<SampleNeeds> {
  const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  const documents = texts
    .flatMap((text) => parseAllDocuments(text))
    .map((document) => document.toJS() as Document | null)
    .filter((document) => document !== null);
  const brokerSecrets = documents
    .filter(({ kind }) => kind === 'EventBroker')
    .flatMap(({ spec }) => {
      const { namespace, name } = spec?.secretRef ?? {};
      return namespace === undefined || name === undefined ? [] : [{ namespace, name }];
    });
  const namespaces = documents
    .filter(({ kind }) => kind === 'EventSubscription')
    .map(({ metadata }) => metadata?.namespace ?? 'default');
  return { brokerSecrets, namespaces: [...new Set(namespaces)] };
}
