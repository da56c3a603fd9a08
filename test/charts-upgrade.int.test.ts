/** An upgrade as the pages tell it, from a chart that did not have yet what the chart has now. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { blocksOf } from './support/docs.ts';
import { chartTools, type Tools } from './support/helm.ts';
import { olderChart } from './support/older-chart.ts';

const namespace = `test-upgrade-${process.pid}`;
let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  await kubectl('apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds');
  await kubectl('create', 'namespace', namespace);
}, 900_000);

afterAll(async () => {
  await tools.helm(['uninstall', 'warren', '--namespace', namespace, '--ignore-not-found']);
  await tools.kubectl(['delete', 'namespace', namespace, '--wait=false']);
});

async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tools.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function helm(args: readonly string[], values?: object): Promise<void> {
  const { code, stderr } = await tools.helm(args, values === undefined ? {} : { values });
  if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stderr}`);
}

/** The upgrades of a release that a page tells to type, as arguments of helm, for this test's namespace and without waiting for pods. */
async function toldUpgrades(page: string): Promise<string[][]> {
  const lines = (await blocksOf(page)).flatMap(({ text }) => text.replaceAll('\\\n', '').split('\n'));
  return lines
    .filter((line) => line.startsWith('helm upgrade '))
    .map((line) =>
      line
        .split(/\s+/)
        .slice(1)
        .map((word) => (word === 'warren-system' ? namespace : word))
        .filter((word) => word !== '--wait'),
    );
}

test('an upgrade over a chart that lacks a value keeps what was set, and has the default of what is new', async () => {
  using older = olderChart();
  await helm(['install', 'warren', older.path, '--namespace', namespace], { brokers: [], workers: 7 });
  const upgrade = (await toldUpgrades('docs/how-to/kind.md')).find(([, release]) => release === 'warren');
  await helm(upgrade!);
  const args = 'jsonpath={.spec.template.spec.containers[0].args}';
  expect(await kubectl('get', 'deployment', 'warren', '--namespace', namespace, '-o', args)).toContain(
    '"--workers=7"',
  );
  const policy = `${namespace}-warren-finalizer`;
  expect(await kubectl('get', 'mutatingadmissionpolicy', policy, '-o', 'name')).toContain(policy);
});

test('no page tells to upgrade with the values of the older chart', async () => {
  const told = [
    ...(await toldUpgrades('docs/how-to/kind.md')),
    ...(await toldUpgrades('docs/how-to/scale.md')),
  ];
  expect(told.length).toBeGreaterThan(3);
  for (const args of told) expect(args).toContain('--reset-then-reuse-values');
});
