/**
 * An upgrade of the definitions that Helm has made, by what the page and the chart tell to type. On an API server of its own:
 * definitions are the cluster's.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { dedicatedKubernetes, type DedicatedKubernetes } from '@warren/environment/testing';
import { blocksOf } from './support/docs.ts';
import { chartTools, charts, root, succeed, type Tools } from './support/helm.ts';

const folder = mkdtempSync(join(tmpdir(), 'warren-definitions-'));
const chart = join(folder, 'warren');
const release = ['warren', '--namespace', 'warren-system'];
let kubernetes: DedicatedKubernetes;
let tools: Tools;

beforeAll(async () => {
  kubernetes = await dedicatedKubernetes();
  tools = await chartTools(kubernetes);
}, 900_000);

afterAll(async () => {
  await kubernetes[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** As a release before would have left it. Gives back what it says to whom installs it. */
async function installed(): Promise<string> {
  await tools.helm(['uninstall', ...release, '--ignore-not-found', '--wait']);
  await tools.kubectl(['delete', 'crd', '--all', '--wait']);
  cpSync(join(root, charts.warren), chart, { recursive: true });
  const { code, stdout, stderr } = await tools.helm(['install', ...release, chart, '--create-namespace'], {
    values: { brokers: [] },
  });
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** The chart as a release to come has it: each definition has one more column. */
function change(): void {
  for (const name of readdirSync(join(chart, 'crds'))) {
    const path = join(chart, 'crds', name);
    const column = '        - { name: Added, type: string, jsonPath: .metadata.uid }\n';
    writeFileSync(path, readFileSync(path, 'utf8').replace('additionalPrinterColumns:\n', `$&${column}`));
  }
}

const columns = async () => {
  const path = '-o=jsonpath={.items[*].spec.versions[0].additionalPrinterColumns[?(@.name=="Added")].name}';
  return (await tools.kubectl(['get', 'crd', path])).stdout;
};

/** The line that applies them. */
const commandIn = (text: string) => /^.*kubectl apply --server-side.*$/m.exec(text)?.[0] ?? '';

test.each<[string, (notes: string) => string | Promise<string>]>([
  ['the page', async () => (await blocksOf('docs/how-to/kind.md')).map(({ text }) => text).join('\n')],
  ['the chart', (notes) => notes],
])(
  'what %s tells to type brings definitions that Helm has made up to date',
  async (_who, told) => {
    const command = commandIn(await told(await installed())).replace(/CHART|charts\/warren/, chart);
    change();
    expect(await columns()).toBe('');
    const PATH = [dirname(tools.helmPath), process.env['PATH']].join(delimiter);
    await succeed('sh', ['-c', command], { env: { KUBECONFIG: tools.kubeconfig, PATH } });
    expect(await columns()).toBe('Added Added Added');
  },
  120_000,
);
