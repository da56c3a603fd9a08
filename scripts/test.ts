/**
 * `npm test`: types, lint, and all tests on real parts that it brings up, at last most of those on a cluster.
 * `npm test -- <path or jest option>...`: only these tests. Ends with the line `N passed, N failed`.
 */
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import {
  prepareBrokers,
  printer,
  RunFolder,
  startEnvironment,
  stateDir,
  type Environment,
} from '@warren/environment';
import { root, runNode } from './test/child.ts';
import { clusterStage, clusterTests, isClusterTest, type NotRun } from './test/cluster-stage.ts';
import { JestRuns } from './test/jest-runs.ts';

const wanted = process.argv.slice(2);
const all = wanted.length === 0;
const report = printer(process.stdout);
const stop = new AbortController();
const { signal } = stop;
const folder = new RunFolder(stateDir(), false, 'test');
const runs = new JestRuns({ wanted, folder: folder.path, report, signal });
let notRun: NotRun | undefined;

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stop.abort(new Error(`ended by ${name}`)));
}

try {
  const files = await runs.files();
  await onRealParts(files.filter((file) => !isClusterTest(file)));
  // With nothing beside it: the parts of the other tests have ended.
  const onCluster = clusterTests(files, all);
  if (onCluster.length > 0) notRun = await clusterStage({ files: onCluster, all, runs, report, signal });
} catch (error) {
  runs.broken.push(error instanceof Error ? error.message : String(error));
} finally {
  await folder[Symbol.asyncDispose]();
}
process.exit(summary() ? 0 : 1);

/** Types and lint where all is meant, and the tests but for those on a cluster. */
async function onRealParts(files: readonly string[]): Promise<void> {
  const real = files.some((file) => /\.(int|e2e)\.test\.ts$/.test(file));
  // The start of cold parts takes minutes and goes on beside the checks; its failure is reported when the tests need it.
  const starting: Promise<Environment | undefined> = real
    ? startEnvironment({ kubernetes: true, report, signal })
    : Promise.resolve(undefined);
  starting.catch(() => undefined);
  // Whoever needs an older broker says by itself when there is none.
  const preparing = real
    ? prepareBrokers({ report, signal }).catch((error: unknown) => report('rabbitmq', String(error)))
    : undefined;
  if (all) {
    const tool = (path: string, ...args: string[]) => [join('node_modules', path), ...args];
    await Promise.all([
      check('types', tool('typescript/bin/tsc', '-b')),
      check('lint', tool('eslint/bin/eslint.js', '.')).then(() =>
        check('format', tool('prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.')),
      ),
    ]);
  }
  await using environment = await starting;
  await preparing;
  const env = environment === undefined ? {} : { WARREN_ENDPOINTS: environment.endpointsFile };
  // More than there are processors: these tests wait for brokers and servers most of the time.
  const workers = Math.max(2, Math.min(4, 2 * availableParallelism()));
  if (files.some((file) => !file.endsWith('.e2e.test.ts'))) {
    const projects = ['unit', 'contract', 'int'];
    await runs.run({ what: 'tests', projects, options: [`--maxWorkers=${workers}`], env });
  }
  // These start whole shops: one at a time.
  if (files.some((file) => file.endsWith('.e2e.test.ts'))) {
    await runs.run({ what: 'end-to-end tests', projects: ['e2e'], options: ['--runInBand'], env });
  }
}

/** One check of the whole repository; what it says is shown when it fails. */
async function check(what: string, args: string[]): Promise<void> {
  report(what, 'checking');
  const started = performance.now();
  const { code, output } = await runNode(args, { output: 'pipe', signal });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  report(what, code === 0 ? `right (${seconds} s)` : `wrong (${seconds} s)\n${output.trimEnd()}`);
  if (code !== 0) runs.broken.push(what);
}

/** Says what came of all of it, the numbers last. Whether it is good. */
function summary(): boolean {
  const { totals, unstable, broken } = runs;
  for (const what of unstable) report('test', `unstable, passed only at the second try: ${what}`);
  for (const what of broken) report('test', `failed: ${what}`);
  if (notRun !== undefined) {
    report('test', `cluster tests not run: ${notRun.why}`);
    for (const file of notRun.files) report('test', `not run: ${relative(root, file)}`);
  }
  const failed = totals.failed + broken.length;
  const left = notRun?.files.length ?? 0;
  if (totals.passed + failed + left === 0) report('test', 'no test matches');
  console.log(
    [
      `${totals.passed} passed, ${failed} failed`,
      ...(totals.skipped > 0 ? [`${totals.skipped} skipped`] : []),
      ...(unstable.length > 0 ? [`${unstable.length} unstable`] : []),
      ...(left > 0 ? [`${left} ${left === 1 ? 'file' : 'files'} not run`] : []),
    ].join(', '),
  );
  return failed === 0 && totals.passed > 0;
}
