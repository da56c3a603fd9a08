/**
 * `npm run deploy` where nothing can come up: an API server without nodes. What it promises then is that everything is as it
 * was. (That it succeeds is shown where pods run.)
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { eventually } from '@warren/environment/testing';
import { chartTools, charts, execute, root, type Outcome, type Tools } from './support/helm.ts';

const unique = `test-deploy-${process.pid}`;
const namespaces = { warren: `${unique}-system`, shop: `${unique}-shop` };
/** An operator that comes up with no node, for having no pod. */
const without = { brokers: [], replicas: 0 };
/** Enough for that one, on a busy machine. */
const patience = ['--timeout', '10s'];
const folder = mkdtempSync(join(tmpdir(), 'warren-deploy-'));
let tools: Tools;

beforeAll(async () => {
  tools = await chartTools();
  await tools.kubectl(['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds']);
  for (const namespace of Object.values(namespaces)) await tools.kubectl(['create', 'namespace', namespace]);
  // Another test's EventBroker may be called default: it is the cluster's.
  writeFileSync(join(folder, 'warren.yaml'), stringify({ brokers: [], image: { tag: 'new' } }));
  writeFileSync(join(folder, 'shop.yaml'), stringify({ service: { image: { tag: 'new' } } }));
}, 900_000);

beforeEach(removeAll, 120_000);

afterAll(async () => {
  await removeAll();
  await tools.kubectl([
    'delete',
    'namespace',
    ...Object.values(namespaces),
    '--wait=false',
    '--ignore-not-found',
  ]);
  rmSync(folder, { recursive: true, force: true });
});

const inShop = ['--namespace', namespaces.shop];
interface Metadata {
  name: string;
  deletionTimestamp?: string;
  finalizers?: string[];
}
const subscriptions = async (which: (metadata: Metadata) => boolean = () => true): Promise<string[]> => {
  const { stdout } = await tools.kubectl(['get', 'esub', ...inShop, '--output=json']);
  return (JSON.parse(stdout) as { items: { metadata: Metadata }[] }).items
    .map(({ metadata }) => metadata)
    .filter(which)
    .map(({ name }) => name);
};
const finalizers = async (names: readonly string[], value: string) => {
  const patch = ['--type=merge', `--patch={"metadata":{"finalizers":${value}}}`];
  if (names.length > 0) await tools.kubectl(['patch', 'esub', ...names, ...inShop, ...patch]);
};
const isNew = ({ deletionTimestamp, finalizers: held }: Metadata) =>
  deletionTimestamp === undefined && held === undefined;
const operatorIsThere = async () =>
  (await tools.kubectl(['get', 'deployment', 'warren', '--namespace', namespaces.warren])).code === 0;
const letGo = async () =>
  finalizers(await subscriptions(({ deletionTimestamp }) => deletionTimestamp !== undefined), 'null');

async function removeAll(): Promise<void> {
  for (const name of ['shop', 'warren'] as const)
    await tools.helm(['uninstall', name, '--namespace', namespaces[name], '--ignore-not-found']);
  await letGo();
}

/** A folder for `--values`. */
function given(values: { warren: object; shop: object }): string {
  const path = mkdtempSync(join(folder, 'given-'));
  for (const [chart, content] of Object.entries(values))
    writeFileSync(join(path, `${chart}.yaml`), stringify(content));
  return path;
}

const deploy = (...options: string[]): Promise<Outcome> =>
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

describe('a run that was cut off in the middle', () => {
  const chart = ['warren', charts.warren, '--namespace', namespaces.warren];
  const waiting = ['--wait', '--timeout', '10m'];

  /** Helm begins to bring up what no node takes, and is killed. */
  async function cutOff(...command: string[]): Promise<void> {
    const running = spawn(tools.helmPath, [...command, ...chart, ...waiting, '--values', '-'], {
      cwd: root,
      env: { ...process.env, KUBECONFIG: tools.kubeconfig },
    });
    const closed = once(running, 'close');
    running.stdin.end(stringify({ ...without, replicas: 1, scope: { namespace: namespaces.shop } }));
    try {
      await eventually(operatorIsThere);
      await eventually(async () => (await status()).startsWith('pending-'));
    } finally {
      running.kill('SIGKILL');
      await closed;
    }
  }

  const status = async () => {
    const { stdout } = await tools.helm(['status', 'warren', ...chart.slice(2), '--output=json']);
    return (JSON.parse(stdout) as { info: { status: string } }).info.status;
  };

  test('does not hold up the next one, which goes back to what ran first', async () => {
    const { code, stderr } = await tools.helm(['install', ...chart], { values: without });
    if (code !== 0) throw new Error(stderr);
    await cutOff('upgrade');
    const { stdout } = await deploy('--values', given({ warren: without, shop: {} }), ...patience);
    expect(stdout).toMatch(/warren +pending-upgrade: .*\n.*warren +rolled back to revision 1/);
    expect(stdout).toMatch(/warren +revision 4 runs/);
  }, 240_000);

  test('does not hold up the next one where nothing ran before either', async () => {
    await cutOff('install');
    const { stdout } = await deploy('--values', given({ warren: without, shop: {} }), ...patience);
    expect(stdout).toMatch(/warren +pending-install: .*\n.*warren +removed: there was none before/);
    expect(stdout).toMatch(/warren +revision 1 runs/);
  }, 240_000);
});

test('what a release was given stays, and of what it is given now the later goes before the earlier', async () => {
  const before = {
    warren: { ...without, scope: { namespace: namespaces.shop }, imagePullSecrets: [{ name: 'pull' }] },
    shop: { service: { replicas: 3 }, services: { notification: { env: { SMTP_URL: 'smtp://own:25' } } } },
  };
  for (const chart of ['warren', 'shop'] as const) {
    const { code, stderr } = await tools.helm(
      ['upgrade', chart, charts[chart], '--install', '--namespace', namespaces[chart]],
      { values: before[chart] },
    );
    if (code !== 0) throw new Error(stderr);
  }
  // As k8s/README.md tells it: the chart's own SMTP_URL must not come back.
  const notification = { env: { SMTP_URL: null }, secretEnv: { SMTP_URL: { name: 'mail', key: 'url' } } };
  const own = given({
    warren: { logLevel: 'debug', image: { tag: 'own' } },
    shop: { services: { notification } },
  });
  const digests = given({ warren: { image: { tag: 'new' } }, shop: { service: { image: { tag: 'new' } } } });
  // The shop cannot come up here: what it was to get is in the revision that failed.
  expect((await deploy('--values', own, '--values', digests, ...patience)).code).toBe(1);
  const values = async (chart: 'warren' | 'shop') => {
    const history = await tools.helm(['history', chart, '--namespace', namespaces[chart], '--output=json']);
    const tried = (JSON.parse(history.stdout) as { revision: number }[]).at(-2)!.revision;
    const of = ['--namespace', namespaces[chart], `--revision=${tried}`, '--output=json'];
    return JSON.parse((await tools.helm(['get', 'values', chart, ...of])).stdout) as object;
  };
  expect(await values('warren')).toEqual({ ...before.warren, logLevel: 'debug', image: { tag: 'new' } });
  expect(await values('shop')).toEqual({
    service: { ...before.shop.service, image: { tag: 'new' } },
    services: { notification },
  });
}, 240_000);

test('values that leave an image without a digest are refused where every one is to be pinned', async () => {
  const { code, stderr } = await deploy('--values', folder, '--pinned');
  expect(stderr).toMatch(/no digest is given for the image of operator, event-log, loyalty, /);
  expect(code).toBe(2);
});

test('values that are not there are said before anything is touched', async () => {
  const { code, stderr } = await deploy('--values', join(folder, 'nowhere'));
  expect(stderr).toContain('there is no warren.yaml in it');
  expect(code).toBe(2);
});

describe('a first deployment of which the operator holds and the shop does not', () => {
  /** Deploys, and does meanwhile what an operator would with the subscriptions, as long as the release has it run. */
  async function deployed(work: () => Promise<void>): Promise<Outcome> {
    let done = false;
    const deploying = deploy('--values', given({ warren: without, shop: {} }), ...patience).finally(
      () => (done = true),
    );
    await eventually(
      async () => {
        await finalizers(await subscriptions(isNew), '["warren.events/topology"]');
        if (await operatorIsThere()) await work();
        return done;
      },
      { timeoutMs: 200_000, intervalMs: 100 },
    );
    return deploying;
  }

  test('keeps the operator while subscriptions that are deleted wait for it', async () => {
    const { code, stdout } = await deployed(() => Promise.resolve());
    expect(stdout).toMatch(/warren +revision 1 runs/);
    expect(stdout).toMatch(/shop +rolled back, and not well/);
    expect(stdout).toMatch(/warren +stays/);
    expect(code).toBe(1);
    expect(await releases()).toEqual(['warren 1']);
    expect(await operatorIsThere()).toBe(true);
    await letGo();
  }, 240_000);

  test('goes in the order in which its subscriptions can end', async () => {
    const { code, stdout } = await deployed(letGo);
    expect(stdout.match(/removed: there was none before/g)).toHaveLength(2);
    expect(code).toBe(1);
    expect(await releases()).toEqual([]);
    expect(await subscriptions()).toEqual([]);
  }, 240_000);
});
