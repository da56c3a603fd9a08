/** `npm run deploy`: brings a cluster to these charts and images, tries the shop, and rolls back what does not hold. See USAGE. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { printer } from '@warren/environment';
import { accept } from './deploy/acceptance.ts';
import { durationMs } from './deploy/duration.ts';
import { forward } from './deploy/forward.ts';
import { insistOnDigests, readValues } from './images/pinned.ts';

const USAGE = `npm run deploy [-- options]: the operator and the shop in the cluster that kubectl points to

  --values FOLDER             warren.yaml and shop.yaml in it, either of which may be empty, are given to the charts, such as
                              those that npm run images --values writes; a later one goes before an earlier one
  --pinned                    refuses values that leave an image without a digest
  --operator-namespace NAME   (warren-system)
  --shop-namespace NAME       (shop)
  --timeout DURATION          for each step of helm (10m)
  --orders N                  placed to try the shop; 0 places none (50)
  --help

A value that a release was given before stays, also by hand, until another one is given for it; null takes it away, and the
chart's own.

CRDs first, then the operator, then the shop; then helm test, then orders all at once, each of which must end once. When
something fails, both releases are rolled back to the revision that they had, or removed where they had none, and the exit
code is 1.

What a run that was cut off has left (helm calls it pending, and refuses all else) is rolled back first, once it has taken
a tenth longer than a step may: until then it may be a run beside this one.

  HELM, KUBECTL   the binaries, where they are not in PATH
`;

interface Release {
  readonly name: 'warren' | 'shop';
  readonly namespace: string;
  readonly args: readonly string[];
}

const root = join(import.meta.dirname, '..');
const kubectl = process.env['KUBECTL'] ?? 'kubectl';
const helm = process.env['HELM'] ?? 'helm';
const report = printer(process.stdout);
const run = promisify(execFile);

/** Gives back stdout; rejects with what the command wrote to stderr. */
async function call(command: string, args: readonly string[], input = ''): Promise<string> {
  try {
    const running = run(command, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
    running.child.stdin?.on('error', () => undefined).end(input); // it may end before it has read everything
    return (await running).stdout;
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string };
    if (stderr === undefined) throw error;
    const said = `${stdout ?? ''}\n${stderr}`
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.includes('found symbolic link'))
      .slice(-15)
      .join('\n');
    throw new Error(`${command} ${args.slice(0, 2).join(' ')}: ${said}`, { cause: error });
  }
}

interface Revisions {
  /** The newest one, whatever became of it; 0 where there is none. */
  readonly newest: number;
  /** The newest one that ran; undefined where none ever did. */
  readonly good: number | undefined;
  /** The operation of helm that goes on, or was cut off, and since when in milliseconds. */
  readonly pending?: { readonly status: string; readonly since: number };
}

async function revisionsOf({ name, namespace }: Release): Promise<Revisions> {
  const list = ['list', '--all', '--namespace', namespace, '--filter', `^${name}$`, '--output', 'json'];
  if ((JSON.parse(await call(helm, list)) as unknown[]).length === 0) return { newest: 0, good: undefined };
  const history = JSON.parse(
    await call(helm, ['history', name, '--namespace', namespace, '--output', 'json']),
  ) as { revision: number; status: string; updated: string }[];
  const newest = (status: string) =>
    history
      .filter((one) => one.status === status)
      .map(({ revision }) => revision)
      .at(-1);
  const last = history.at(-1);
  return {
    newest: Math.max(...history.map(({ revision }) => revision)),
    good: newest('deployed') ?? newest('superseded'),
    ...(last?.status.startsWith('pending-')
      ? { pending: { status: last.status, since: Date.parse(last.updated) } }
      : {}),
  };
}

async function upgrade(release: Release, { newest, good }: Revisions, timeout: string): Promise<void> {
  const { name, namespace, args } = release;
  const here = ['--namespace', namespace];
  report(name, `upgrading in ${namespace}`);
  // What an environment was given is not in the chart. As --reset-then-reuse-values, which brings a chart's own back for a null.
  const last = String(good ?? newest);
  const kept =
    newest === 0
      ? '{}'
      : await call(helm, ['get', 'values', name, ...here, '--revision', last, '--output', 'json']);
  const flags = ['--install', '--reset-values', '--wait', '--timeout', timeout, '--values', '-'];
  await call(helm, ['upgrade', name, `charts/${name}`, ...here, ...flags, ...args], kept);
  report(name, `revision ${(await revisionsOf(release)).newest} runs`);
}

/** Whether it is as it was. */
async function rollBack(
  { name, namespace }: Release,
  before: number | undefined,
  timeout: string,
): Promise<boolean> {
  const patience = ['--namespace', namespace, '--wait', '--timeout', timeout];
  try {
    if (before === undefined) await call(helm, ['uninstall', name, ...patience, '--ignore-not-found']);
    else await call(helm, ['rollback', name, String(before), ...patience]);
    report(
      name,
      before === undefined ? 'removed: there was none before' : `rolled back to revision ${before}`,
    );
    return true;
  } catch (error) {
    report(name, `rolled back, and not well: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

/** Of its timeout; helm waits from when it has applied everything, and the revision is older. */
const margin = 1.1;

/** Ends what a run that was cut off has left: for helm it goes on for ever, and it refuses everything else. */
async function settle(release: Release, timeout: string): Promise<void> {
  for (let told = false; ; told = true) {
    const { good, pending } = await revisionsOf(release);
    if (pending === undefined) return;
    const left = pending.since + margin * durationMs(timeout) - Date.now();
    if (!told) report(release.name, `${pending.status}: another run is at work, or was cut off`);
    if (left <= 0) {
      await rollBack(release, good, timeout);
      return;
    }
    await pause(Math.min(left, 5_000));
  }
}

/** Last in, first out; what has not been touched is not touched now. */
async function undo(
  releases: readonly Release[],
  before: readonly Revisions[],
  timeout: string,
): Promise<void> {
  let clean = true;
  for (const [index, release] of [...releases.entries()].reverse()) {
    const was = before[index];
    if (was === undefined || (await revisionsOf(release)).newest === was.newest) continue;
    // A subscription that is deleted waits for an operator, and without one for ever.
    if (was.good === undefined && !clean)
      report(release.name, 'stays: what is left waits for it; helm uninstall removes it when that is gone');
    else clean = (await rollBack(release, was.good, timeout)) && clean;
  }
}

async function deploy(releases: readonly [Release, Release], timeout: string, orders: number): Promise<void> {
  const [, shop] = releases;
  // Helm never changes a CRD that is there. They only ever grow, so a rollback leaves them.
  await call(kubectl, ['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds']);
  // The operator's rights are in the shop's namespace: it must be there before either chart.
  for (const { namespace } of releases)
    await call(kubectl, ['get', 'namespace', namespace]).catch(() =>
      call(kubectl, ['create', 'namespace', namespace]),
    );
  // The shop first: what is deleted with it waits for the operator.
  for (const release of releases.toReversed()) await settle(release, timeout);
  const before = await Promise.all(releases.map(revisionsOf));
  try {
    for (const [index, release] of releases.entries())
      await upgrade(release, before[index] ?? { newest: 0, good: undefined }, timeout);
    await call(helm, ['test', shop.name, '--namespace', shop.namespace, '--timeout', timeout]);
    report('shop', 'helm test passed');
    if (orders === 0) return;
    await using forwards = await forward(kubectl, shop.namespace, ['user', 'order', 'loyalty', 'event-log']);
    report('shop', await accept({ urls: forwards.urls, orders, withinMs: 120_000 }));
  } catch (error) {
    report('deploy', `failed: ${error instanceof Error ? error.message : String(error)}`);
    await undo(releases, before, timeout);
    process.exitCode = 1;
  }
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      values: { type: 'string', multiple: true, default: [] },
      pinned: { type: 'boolean' },
      'operator-namespace': { type: 'string', default: 'warren-system' },
      'shop-namespace': { type: 'string', default: 'shop' },
      timeout: { type: 'string', default: '10m' },
      orders: { type: 'string', default: '50' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const orders = Number(values.orders);
  if (!Number.isInteger(orders) || orders < 0)
    throw new TypeError(`--orders takes a whole number, not "${values.orders}"`);
  if (!(durationMs(values.timeout) > 0))
    throw new TypeError(`--timeout takes a duration such as 10m, not "${values.timeout}"`);
  const shop = values['shop-namespace'];
  const contents = values.values.map(readValues);
  if (values.pinned === true) insistOnDigests(contents);
  const given = (name: string) =>
    values.values.flatMap((folder) => ['--values', join(folder, `${name}.yaml`)]);
  await deploy(
    [
      {
        name: 'warren',
        namespace: values['operator-namespace'],
        args: ['--set', `scope.namespace=${shop}`, ...given('warren')],
      },
      { name: 'shop', namespace: shop, args: given('shop') },
    ],
    values.timeout,
    orders,
  );
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`deploy: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
