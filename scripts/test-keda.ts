/**
 * `npm run test:keda`: the tests with a running KEDA (`*.keda.test.ts`), on real parts that it brings up. Not in `npm test`:
 * where KEDA was never built, that takes a quarter of an hour. See USAGE.
 */
import { kedaBinaries, kedaVersion, startEnvironment } from '@warren/environment';
import { runProject, testCommand } from './test/command.ts';

const USAGE = `npm run test:keda [-- path or jest option ...]

  --help

Builds KEDA ${kedaVersion()} from its Go module, once a machine. Where that cannot be, it says why and ends with exit code 1.
`;

/** Of the tests, without what is built before. */
const LIMIT_MINUTES = 15;

await testCommand(USAGE, async (args, context) => {
  await kedaBinaries(context);
  // The tests have API servers of their own, since a cluster has one server of external metrics; this one brings their parts.
  await using environment = await startEnvironment({ kubernetes: true, ...context });
  const limit = AbortSignal.timeout(LIMIT_MINUTES * 60_000);
  await runProject('keda', args, {
    env: { WARREN_ENDPOINTS: environment.endpointsFile },
    signal: AbortSignal.any([context.signal, limit]),
  });
});
