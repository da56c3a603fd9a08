/** Runs of jest, and what came of all of them together. */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Report } from '@warren/environment';
import { root, runNode } from './child.ts';
import { countsOf, failedFiles, failedTests, withSecondTry, type JestResult } from './result.ts';

/** Node's arguments that run jest. */
export const jest: readonly string[] = [
  ...['--experimental-vm-modules', '--conditions=warren-source', '--disable-warning=ExperimentalWarning'],
  ...['--import', './scripts/end-with-parent.ts', join(root, 'node_modules/jest/bin/jest.js')],
];

/** As many failed files get a second try; more of them have a common cause. */
const SECOND_TRIES = 5;

export interface JestRunsOptions {
  /** Arguments for jest that say which tests are meant; none: all, and a failed file gets a second try. */
  wanted: readonly string[];
  /** Where jest's results go. */
  folder: string;
  report: Report;
  signal: AbortSignal;
}

export interface Run {
  what: string;
  projects: readonly string[];
  options: readonly string[];
  env?: object;
  /** Ends it early, beside the signal of all runs. */
  limit?: AbortSignal;
}

export class JestRuns {
  readonly totals = { passed: 0, failed: 0, skipped: 0 };
  /** Runs that did not end as they should, whatever their tests said. */
  readonly broken: string[] = [];
  /** Tests that failed beside others and passed alone. */
  readonly unstable: string[] = [];
  readonly #options: JestRunsOptions;
  #ran = 0;

  constructor(options: JestRunsOptions) {
    this.#options = options;
  }

  /** The test files that are meant. */
  async files(): Promise<string[]> {
    const { wanted, signal } = this.#options;
    const { code, output } = await runNode([...jest, '--listTests', ...wanted], { output: 'pipe', signal });
    if (code !== 0) throw new Error(`jest --listTests ended with ${code}\n${output}`);
    return output.split('\n').filter((line) => line.endsWith('.ts'));
  }

  /**
   * Runs the projects' tests and adds up what jest counted. In a run of all tests a file that failed is run once more, with
   * nothing beside it: a test that passes then is told as unstable, and does not hide what the run was made to find out.
   */
  async run(run: Run): Promise<void> {
    const { wanted, report } = this.#options;
    const { what } = run;
    report('test', what);
    const first = await this.#jest({ ...run, options: [...wanted, ...run.options] });
    const failed = failedFiles(first);
    let counts = countsOf(first);
    try {
      if (wanted.length > 0 || failed.length === 0 || failed.length > SECOND_TRIES) return;
      report('test', `${what}: once more, alone: ${failed.map((file) => relative(root, file)).join(' ')}`);
      const second = await this.#jest({ ...run, options: ['--runInBand', '--runTestsByPath', ...failed] });
      counts = withSecondTry(first, second);
      const still = new Set(failedTests(second, root));
      this.unstable.push(...failedTests(first, root).filter((name) => !still.has(name)));
    } finally {
      // Also where the second try was cut off: what failed then has.
      for (const key of ['passed', 'failed', 'skipped'] as const) this.totals[key] += counts[key];
    }
  }

  async #jest({ what, projects, options, env = {}, limit }: Run): Promise<JestResult> {
    const { folder, signal } = this.#options;
    this.#ran += 1;
    const result = join(folder, `jest-${this.#ran}.json`);
    const args = [...jest, ...options, '--selectProjects', ...projects, '--passWithNoTests'];
    const { code, hung } = await runNode([...args, '--json', `--outputFile=${result}`], {
      output: 'inherit',
      env,
      result,
      signal: limit === undefined ? signal : AbortSignal.any([signal, limit]),
    });
    if (!existsSync(result)) throw new Error(`${what}: jest ended with ${code} and left no result`);
    const said = JSON.parse(readFileSync(result, 'utf8')) as JestResult;
    if (hung) this.broken.push(`${what}: jest did not end; something was left open`);
    else if (code !== 0 && countsOf(said).failed === 0) this.broken.push(`${what}: jest ended with ${code}`);
    return said;
  }
}
