/**
 * `npm run test:cluster`: the tests that need nodes and pods (`test/cluster`), on the cluster that runs, or on one that is
 * brought up for them. See USAGE.
 */
import { EnvironmentError, printer } from '@warren/environment';
import { runNode } from './test/child.ts';
import { lackingForTests, testCluster } from './test/cluster.ts';
import { jest } from './test/jest-runs.ts';

const USAGE = `npm run test:cluster [-- options] [path or jest option ...]

  --images FOLDER   archives of images that are there already; without it they are built
  --help

Where neither Docker with kind runs nor this is root on Debian, it says what is missing and ends with exit code 1.
`;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));

async function main(args: string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return;
  }
  const lacks = await lackingForTests();
  if (lacks.length > 0) {
    process.stdout.write(
      `No cluster can be made here, so its tests do not run. There is no Docker engine with kind, and without it this is missing:\n${lacks.map((lack) => `  - ${lack}\n`).join('')}`,
    );
    process.exitCode = 1;
    return;
  }
  const at = args.indexOf('--images');
  const [, images] = at < 0 ? [] : args.splice(at, 2);
  const { signal } = stop;
  await using _ = await testCluster({ nodes: 2, images, report: printer(process.stdout), signal });
  const { code } = await runNode([...jest, ...args, '--selectProjects', 'cluster', '--runInBand'], {
    output: 'inherit',
    signal,
  });
  process.exitCode = code === 0 ? 0 : 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!stop.signal.aborted) console.error(error instanceof EnvironmentError ? error.message : error);
  process.exitCode = 1;
}
