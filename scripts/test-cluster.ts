/**
 * `npm run test:cluster`: the tests that need nodes and pods (`test/cluster`), on the cluster that runs, or on one that is
 * brought up for them. See USAGE.
 */
import { lackingForTests, testCluster } from './test/cluster.ts';
import { runProject, testCommand } from './test/command.ts';

const USAGE = `npm run test:cluster [-- options] [path or jest option ...]

  --images FOLDER   archives of images that are there already; without it they are built
  --help

Where neither Docker with kind runs nor this is root on Debian, it says what is missing and ends with exit code 1.
`;

await testCommand(USAGE, async (args, context) => {
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
  await using _ = await testCluster({ nodes: 2, images, ...context });
  await runProject('cluster', args, context);
});
