/** A cluster with the images that its tests run: the one that runs, or one that is brought up for them. */
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bringUpCluster,
  clusterLacks,
  loadImages,
  readCluster,
  run,
  stateDir,
  type ClusterEndpoints,
  type Context,
} from '@warren/environment';
import { buildImages } from '../images.ts';
import { building } from '../images/blame.ts';
import { root } from './child.ts';

/** What is missing for the tests on a cluster, as sentences; empty where one runs or can be made. */
export const lackingForTests = async (): Promise<string[]> =>
  readCluster() === undefined ? clusterLacks() : [];

export interface TestCluster extends Context {
  signal: AbortSignal;
  nodes: number;
  /** A folder with archives of the images; built where none is given. */
  images?: string | undefined;
}

/** Disposing it ends the cluster where it was brought up for this. */
export async function testCluster({ nodes, images, ...context }: TestCluster): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  let endpoints: ClusterEndpoints | undefined = readCluster();
  if (endpoints === undefined) ({ endpoints } = stack.use(await bringUpCluster({ nodes, ...context })));
  else context.report('cluster', `using ${endpoints.kubeconfig}`);
  const folder = images ?? (await build(endpoints, context));
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.tar')))
    await loadImages(endpoints, join(folder, name), context);
  return stack.move();
}

/** Archives of every image that the tests run, in a folder. */
async function build({ machine }: ClusterEndpoints, context: Context): Promise<string> {
  const folder = join(stateDir(), 'images');
  const docker = machine === undefined;
  const engine = docker ? {} : { engine: 'buildah', debian: true };
  await buildImages({ ...engine, archive: folder }, context);
  // The service of the tutorial, on what another one is made of.
  const image = 'warren/bestsellers:0.1.0';
  const tool = docker ? ['docker', 'build'] : ['buildah', 'build', '--isolation=chroot'];
  const tagged = [...tool.slice(1), '--tag', image, join(root, 'examples/bestsellers')];
  const about = { part: 'images', contained: !docker, ...context };
  await building(() => run(tool[0] as string, tagged, { what: `building ${image}`, ...about }));
  const archive = join(folder, 'bestsellers.tar');
  await rm(archive, { force: true }); // buildah adds to no archive
  const save = docker
    ? ['docker', 'save', '--output', archive, image]
    : ['buildah', 'push', '--quiet', image, `docker-archive:${archive}:docker.io/${image}`];
  await run(save[0] as string, save.slice(1), { what: `writing ${archive}`, ...about });
  return folder;
}
