/**
 * `npm test`: types, lint, and all tests on real parts that it brings up. `npm test -- <path or jest option>...`: only
 * these tests. Ends with the line `N passed, N failed`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
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
import { countsOf, failedFiles, failedTests, withSecondTry, type JestResult } from './test-result.ts';

const root = join(import.meta.dirname, '..');
const jest = [
  ...['--experimental-vm-modules', '--conditions=warren-source', '--disable-warning=ExperimentalWarning'],
  ...['--import', './scripts/end-with-parent.ts'],
];
const jestBin = join(root, 'node_modules/jest/bin/jest.js');
const wanted = process.argv.slice(2);
const report = printer(process.stdout);
const stop = new AbortController();
const folder = new RunFolder(stateDir(), false, 'test');
const totals = { passed: 0, failed: 0, skipped: 0 };
const broken: string[] = [];
/** Tests that failed beside others and passed alone. */
const unstable: string[] = [];
/** As many failed files get a second try; more of them have a common cause. */
const secondTries = 5;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));
}

try {
  const files = await listTests();
  const real = files.some((file) => /\.(int|e2e)\.test\.ts$/.test(file));
  // The start of cold parts takes minutes and goes on beside the checks; its failure is reported when the tests need it.
  const starting: Promise<Environment | undefined> = real
    ? startEnvironment({ kubernetes: true, report, signal: stop.signal })
    : Promise.resolve(undefined);
  starting.catch(() => undefined);
  // Whoever needs an older broker says by itself when there is none.
  const preparing = real
    ? prepareBrokers({ report, signal: stop.signal }).catch((error: unknown) =>
        report('rabbitmq', String(error)),
      )
    : undefined;
  if (wanted.length === 0) {
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
    await runJest('tests', ['unit', 'contract', 'int'], [`--maxWorkers=${workers}`], env);
  }
  // These start whole shops: one at a time.
  if (files.some((file) => file.endsWith('.e2e.test.ts'))) {
    await runJest('end-to-end tests', ['e2e'], ['--runInBand'], env);
  }
} catch (error) {
  broken.push(error instanceof Error ? error.message : String(error));
} finally {
  await folder[Symbol.asyncDispose]();
}

for (const what of unstable) report('test', `unstable, passed only alone: ${what}`);
for (const what of broken) report('test', `failed: ${what}`);
const failed = totals.failed + broken.length;
if (totals.passed + failed === 0) report('test', 'no test matches');
console.log(
  [
    `${totals.passed} passed, ${failed} failed`,
    ...(totals.skipped > 0 ? [`${totals.skipped} skipped`] : []),
    ...(unstable.length > 0 ? [`${unstable.length} unstable`] : []),
  ].join(', '),
);
process.exit(failed > 0 || totals.passed === 0 ? 1 : 0);

/** The test files that the arguments mean. */
async function listTests(): Promise<string[]> {
  const { code, output } = await node([...jest, jestBin, '--listTests', ...wanted], 'pipe');
  if (code !== 0) throw new Error(`jest --listTests ended with ${code}\n${output}`);
  return output.split('\n').filter((line) => line.endsWith('.ts'));
}

/** One check of the whole repository; what it says is shown when it fails. */
async function check(what: string, args: string[]): Promise<void> {
  report(what, 'checking');
  const started = performance.now();
  const { code, output } = await node(args, 'pipe');
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  report(what, code === 0 ? `right (${seconds} s)` : `wrong (${seconds} s)\n${output.trimEnd()}`);
  if (code !== 0) broken.push(what);
}

/**
 * Runs the projects' tests and adds up what jest counted. In a run of all tests a file that failed is run once more, with
 * nothing beside it: a test that passes then is told as unstable, and does not hide what the run was made to find out.
 */
async function runJest(what: string, projects: string[], options: string[], env: object): Promise<void> {
  report('test', what);
  const first = await jestRun(what, projects, [...wanted, ...options], env);
  const failed = failedFiles(first);
  let counts = countsOf(first);
  if (wanted.length === 0 && failed.length > 0 && failed.length <= secondTries) {
    report('test', `${what}: once more, alone: ${failed.map((file) => relative(root, file)).join(' ')}`);
    const second = await jestRun(
      `${what}-again`,
      projects,
      ['--runInBand', '--runTestsByPath', ...failed],
      env,
    );
    counts = withSecondTry(first, second);
    const still = new Set(failedTests(second, root));
    unstable.push(...failedTests(first, root).filter((name) => !still.has(name)));
  }
  totals.passed += counts.passed;
  totals.failed += counts.failed;
  totals.skipped += counts.skipped;
}

async function jestRun(
  what: string,
  projects: string[],
  options: string[],
  env: object,
): Promise<JestResult> {
  const outputFile = join(folder.path, `${what.replaceAll(' ', '-')}.json`);
  const args = [...jest, jestBin, ...options, '--selectProjects', ...projects, '--passWithNoTests'];
  const run = node([...args, '--json', `--outputFile=${outputFile}`], 'inherit', env, outputFile);
  const { code, hung } = await run;
  if (!existsSync(outputFile)) throw new Error(`${what}: jest ended with ${code} and left no result`);
  const result = JSON.parse(readFileSync(outputFile, 'utf8')) as JestResult;
  if (hung) broken.push(`${what}: jest did not end; something was left open`);
  else if (code !== 0 && countsOf(result).failed === 0) broken.push(`${what}: jest ended with ${code}`);
  return result;
}

/** Runs this Node. The child cannot outlive us; once `result` is there it has half a minute to end. */
async function node(
  args: string[],
  output: 'pipe' | 'inherit',
  env: object = {},
  result?: string,
): Promise<{ code: number | string; output: string; hung: boolean }> {
  stop.signal.throwIfAborted();
  const command = existsSync('/usr/bin/setpriv')
    ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--', process.execPath]
    : [process.execPath];
  const child: ChildProcess = spawn(command[0] as string, [...command.slice(1), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    // A group of its own: Ctrl-C reaches us, and we end it with its workers.
    detached: true,
    // jest's summary is on stderr; its --json must not fill our stdout.
    stdio: ['ignore', output === 'pipe' ? 'pipe' : 'ignore', output],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => (text += part));
  }
  const abort = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  stop.signal.addEventListener('abort', abort);
  let hung = false;
  let patience = 30;
  const watch = setInterval(() => {
    if (result === undefined || !existsSync(result) || (patience -= 1) > 0) return;
    hung = true;
    abort();
  }, 1_000);
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, signal) => resolve(exit ?? signal ?? '?'));
    });
    stop.signal.throwIfAborted();
    return { code, output: text, hung };
  } finally {
    clearInterval(watch);
    stop.signal.removeEventListener('abort', abort);
  }
}
