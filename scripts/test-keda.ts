/**
 * `npm run test:keda`: the tests with a running KEDA (`*.keda.test.ts`), on real parts that it brings up. Not in `npm test`:
 * where KEDA was never built, that takes a quarter of an hour. See USAGE.
 */
import { EnvironmentError, kedaBinaries, kedaVersion, printer, startEnvironment } from '@warren/environment';
import { runNode } from './test/child.ts';
import { jest } from './test/jest-runs.ts';

const USAGE = `npm run test:keda [-- path or jest option ...]

  --help

Builds KEDA ${kedaVersion()} from its Go module, once a machine. Where that cannot be, it says why and ends with exit code 1.
`;

/** Of the tests, without what is built before. */
const LIMIT_MINUTES = 15;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));

async function main(args: string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return;
  }
  const report = printer(process.stdout);
  const { signal } = stop;
  await kedaBinaries({ report, signal });
  // The tests have API servers of their own, since a cluster has one server of external metrics; this one brings their parts.
  await using environment = await startEnvironment({ kubernetes: true, report, signal });
  const limit = AbortSignal.timeout(LIMIT_MINUTES * 60_000);
  const { code } = await runNode([...jest, ...args, '--selectProjects', 'keda', '--runInBand'], {
    output: 'inherit',
    env: { WARREN_ENDPOINTS: environment.endpointsFile },
    signal: AbortSignal.any([signal, limit]),
  });
  process.exitCode = code === 0 ? 0 : 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!stop.signal.aborted) console.error(error instanceof EnvironmentError ? error.message : error);
  process.exitCode = 1;
}
