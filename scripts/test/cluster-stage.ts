/**
 * The tests on a cluster as the last part of `npm test`. What keeps them from running (nothing here to make a cluster with, a
 * download that is refused, a machine that is too slow for the time they have) is told, and is no failure: a tree is judged by
 * what ran. What ran and failed, twice, is one; so is an image that cannot be made of this tree anywhere.
 */
import { basename, relative } from 'node:path';
import { EnvironmentError, type Report } from '@warren/environment';
import { root } from './child.ts';
import { lackingForTests, testCluster } from './cluster.ts';
import type { JestRuns } from './jest-runs.ts';

/** For all of it, in a run of all tests. Warm it takes 10 on two cores; cold, with everything to be built, 8 more. */
const LIMIT_MINUTES = 25;

/** What a run of all tests has, the longest last: the time there is may not suffice for it. Others: `npm run test:cluster`. */
const IN_ALL = ['lifetime', 'shop', 'network-policies', 'scaling', 'releases', 'rolling'];

export const isClusterTest = (file: string): boolean => file.endsWith('.cluster.test.ts');

/**
 * What of the files that the arguments mean is run on a cluster: in a run of all tests those of `IN_ALL`; with
 * arguments all of them, where they mean nothing else. Nobody waits minutes for a cluster who asked for a test by its name.
 */
export function clusterTests(files: readonly string[], all: boolean): string[] {
  const found = files.filter(isClusterTest);
  if (!all) return found.length === files.length ? found : [];
  return IN_ALL.flatMap((name) => found.filter((file) => basename(file) === `${name}.cluster.test.ts`));
}

export interface NotRun {
  files: readonly string[];
  why: string;
}

export interface ClusterStage {
  files: readonly string[];
  /** All tests are meant, and each file is run by itself, in `LIMIT_MINUTES`; otherwise the arguments say which. */
  all: boolean;
  runs: Pick<JestRuns, 'run'>;
  report: Report;
  signal: AbortSignal;
  /** In place of what is here and of the time there is. */
  on?: { lacking: typeof lackingForTests; cluster: typeof testCluster };
  limitMs?: number;
}

/** Gives back what was not run. Rejects with what is nobody's fault but ours. */
export async function clusterStage(stage: ClusterStage): Promise<NotRun | undefined> {
  const { files, all, runs, report, signal, limitMs = LIMIT_MINUTES * 60_000 } = stage;
  const { lacking, cluster } = stage.on ?? { lacking: lackingForTests, cluster: testCluster };
  if (process.env['WARREN_TEST_CLUSTER'] === '0') return { files, why: 'WARREN_TEST_CLUSTER=0' };
  const lacks = await lacking();
  if (lacks.length > 0)
    return {
      files,
      why: `there is no Docker engine with kind, and without it this is missing: ${lacks.join('; ')}`,
    };
  const left = [...files];
  const limit = new AbortController();
  const end = () => limit.abort(new Error('its time is over'));
  const timer = all ? setTimeout(end, limitMs) : undefined;
  const run = (what: string, ...options: string[]) =>
    runs.run({ what, projects: ['cluster'], options: ['--runInBand', ...options], limit: limit.signal });
  try {
    // A node can be drained only where there is another one.
    await using _ = await cluster({ nodes: 2, report, signal: AbortSignal.any([signal, limit.signal]) });
    if (!all) await run('cluster tests');
    for (const file of all ? files : []) {
      await run(relative(root, file), '--runTestsByPath', file);
      left.shift();
    }
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (limit.signal.aborted) return { files: left, why: `their ${LIMIT_MINUTES} minutes are over` };
    if (!isOfTheMachine(error)) throw error;
    return { files: left, why: error.message };
  } finally {
    clearTimeout(timer);
  }
}

/** What a correct tree can meet: parts that could not be had or did not start, and what the operating system refuses. */
const isOfTheMachine = (error: unknown): error is Error =>
  error instanceof EnvironmentError || (error instanceof Error && 'syscall' in error);
