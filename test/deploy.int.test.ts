/**
 * `npm run deploy` where nothing can come up: an API server without nodes. What it promises then is that everything is as it
 * was. (That it succeeds is shown where pods run.)
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { chartTools, charts, execute, type Tools } from './support/helm.ts';

const unique = `test-deploy-${process.pid}`;
const namespaces = { warren: `${unique}-system`, shop: `${unique}-shop` };
const folder = mkdtempSync(join(tmpdir(), 'warren-deploy-'));
let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  // Another test's EventBroker may be called default: it is the cluster's.
  writeFileSync(join(folder, 'warren.yaml'), stringify({ brokers: [], image: { tag: 'new' } }));
  writeFileSync(join(folder, 'shop.yaml'), stringify({ service: { image: { tag: 'new' } } }));
}, 900_000);

afterAll(async () => {
  for (const [name, namespace] of Object.entries(namespaces))
    await tools.helm(['uninstall', name, '--namespace', namespace, '--ignore-not-found']);
  await tools.kubectl([
    'delete',
    'namespace',
    ...Object.values(namespaces),
    '--wait=false',
    '--ignore-not-found',
  ]);
  rmSync(folder, { recursive: true, force: true });
});

const deploy = (...options: string[]) =>
  execute(
    process.execPath,
    [
      ...['--conditions=warren-source', '--disable-warning=ExperimentalWarning', 'scripts/deploy.ts'],
      ...['--operator-namespace', namespaces.warren, '--shop-namespace', namespaces.shop, '--timeout', '2s'],
      ...options,
    ],
    { env: { KUBECONFIG: tools.kubeconfig, HELM: tools.helmPath } },
  );

const releases = async (): Promise<string[]> => {
  const { stdout } = await tools.helm([
    'list',
    '--all',
    '--all-namespaces',
    '--filter',
    '^(warren|shop)$',
    '--output',
    'json',
  ]);
  return (JSON.parse(stdout) as { name: string; namespace: string; revision: string; status: string }[])
    .filter(({ namespace }) => Object.values(namespaces).includes(namespace))
    .map(({ name, revision }) => `${name} ${revision}`);
};

const image = async () => {
  const path = '-o=jsonpath={.spec.template.spec.containers[0].image}';
  return (await tools.kubectl(['get', 'deployment', 'warren', '--namespace', namespaces.warren, path]))
    .stdout;
};

test('a first deployment that does not come up is taken away again, and nothing after it is tried', async () => {
  const { code, stdout } = await deploy('--values', folder);
  expect(stdout).toMatch(/failed: .*context deadline exceeded/s);
  expect(stdout).toContain('removed: there was none before');
  expect(stdout).not.toContain('upgrading in ' + namespaces.shop);
  expect(code).toBe(1);
  expect(await releases()).toEqual([]);
});

test('a later one that does not come up is rolled back to what ran', async () => {
  const { code, stderr } = await tools.helm(
    ['upgrade', '--install', 'warren', charts.warren, '--namespace', namespaces.warren],
    { values: { brokers: [], scope: { namespace: namespaces.shop } } },
  );
  if (code !== 0) throw new Error(stderr);
  expect(await image()).toBe('warren/operator:0.1.0');
  const outcome = await deploy('--values', folder);
  expect(outcome.stdout).toMatch(/failed: .*helm upgrade/);
  expect(outcome.code).toBe(1);
  // Revision 2 is the one that failed, 3 is the first one again.
  expect(await releases()).toEqual(['warren 3']);
  expect(await image()).toBe('warren/operator:0.1.0');

  // And once more, although the newest revision never became ready: what ran first is still what is gone back to.
  expect((await deploy('--values', folder)).code).toBe(1);
  expect(await image()).toBe('warren/operator:0.1.0');
});

test('values that are not there are said before anything is touched', async () => {
  const { code, stderr } = await deploy('--values', join(folder, 'nowhere'));
  expect(stderr).toContain('there is no warren.yaml in it');
  expect(code).toBe(2);
});
