/** What the EventBrokers of a folder need beside themselves: their Secrets. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

interface Document {
  kind?: string;
  spec?: { secretRef?: { namespace?: string; name?: string } };
}

/** The Secrets that the EventBrokers in `folder/*.yaml` name. */
export async function brokerSecretsIn(folder: string): Promise<{ namespace: string; name: string }[]> {
  const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return texts
    .flatMap((text) => parseAllDocuments(text))
    .map((document) => document.toJS() as Document | null)
    .filter((document) => document?.kind === 'EventBroker')
    .flatMap((broker) => {
      const { namespace, name } = broker?.spec?.secretRef ?? {};
      return namespace === undefined || name === undefined ? [] : [{ namespace, name }];
    });
}
