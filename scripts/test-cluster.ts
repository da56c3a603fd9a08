/**
 * `npm run test:cluster`: the tests that need nodes and pods (`test/cluster`), on the cluster that runs, or on one that is
 * brought up for them. See USAGE.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bringUpCluster,
  clusterLacks,
  EnvironmentError,
  loadImages,
  printer,
  readCluster,
  run,
  stateDir,
  type ClusterEndpoints,
} from '@warren/environment';

const USAGE = `npm run test:cluster [-- options] [path or jest option ...]

  --images FOLDER   archives of images that are there already; without it they are built
  --help

Where neither Docker with kind runs nor this is root on Debian, it says what is missing and ends with exit code 1.
`;

const root = join(import.meta.dirname, '..');
const report = printer(process.stdout);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));
const context = { report, signal: stop.signal };

/** Archives of every image that the tests run, in a folder. */
async function build(): Promise<string> {
  const folder = join(stateDir(), 'images');
  const script = (name: string) => [
    ...['--conditions=warren-source', '--disable-warning=ExperimentalWarning'],
    join(root, 'scripts', `${name}.ts`),
  ];
  const docker = readCluster()?.machine === undefined;
  const engine = docker ? [] : ['--engine', 'buildah', '--base', 'debian'];
  await run(process.execPath, [...script('images'), ...engine, '--archive', folder], {
    part: 'images',
    what: 'building the images of operator and services',
    cwd: root,
    ...context,
  });
  // The service of the tutorial, on what another one is made of.
  const image = 'warren/bestsellers:0.1.0';
  const tool = docker ? ['docker', 'build'] : ['buildah', 'build', '--isolation=chroot'];
  const tagged = [...tool.slice(1), '--tag', image, join(root, 'examples/bestsellers')];
  await run(tool[0] as string, tagged, { part: 'images', what: `building ${image}`, ...context });
  const archive = join(folder, 'bestsellers.tar');
  await rm(archive, { force: true }); // buildah adds to no archive
  const save = docker
    ? ['docker', 'save', '--output', archive, image]
    : ['buildah', 'push', '--quiet', image, `docker-archive:${archive}:docker.io/${image}`];
  await run(save[0] as string, save.slice(1), { part: 'images', what: `writing ${archive}`, ...context });
  return folder;
}

async function jest(args: readonly string[]): Promise<number> {
  const options = ['--experimental-vm-modules', '--conditions=warren-source'];
  const child = spawn(
    process.execPath,
    [
      ...[...options, '--disable-warning=ExperimentalWarning', join(root, 'node_modules/jest/bin/jest.js')],
      ...[...args, '--selectProjects', 'cluster', '--runInBand'],
    ],
    { cwd: root, stdio: 'inherit' },
  );
  const abort = () => child.kill('SIGKILL');
  stop.signal.addEventListener('abort', abort);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? 1));
    });
  } finally {
    stop.signal.removeEventListener('abort', abort);
  }
}

async function main(args: string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return;
  }
  const lacks = await clusterLacks();
  if (lacks.length > 0 && readCluster() === undefined) {
    process.stdout.write(
      `No cluster can be made here, so its tests do not run. There is no Docker engine with kind, and without it this is missing:\n${lacks.map((lack) => `  - ${lack}\n`).join('')}`,
    );
    process.exitCode = 1;
    return;
  }
  const at = args.indexOf('--images');
  const [, given] = at < 0 ? [] : args.splice(at, 2);
  await using stack = new AsyncDisposableStack();
  let endpoints: ClusterEndpoints | undefined = readCluster();
  if (endpoints === undefined) ({ endpoints } = stack.use(await bringUpCluster({ nodes: 2, ...context })));
  else report('cluster', `using ${endpoints.kubeconfig}`);
  const folder = given ?? (await build());
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.tar')))
    await loadImages(endpoints, join(folder, name), context);
  process.exitCode = await jest(args);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!stop.signal.aborted) console.error(error instanceof EnvironmentError ? error.message : error);
  process.exitCode = 1;
}
