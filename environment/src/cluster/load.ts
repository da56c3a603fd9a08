/** Images for a cluster that runs, out of archives: each node has a containerd of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { run, succeeds } from '../command.ts';
import type { Context } from '../debian.ts';
import type { ClusterEndpoints } from '../endpoints.ts';
import { EnvironmentError } from '../errors.ts';
import { containerd, nodeOf, type Node } from './configuration.ts';
import { KIND_CLUSTER } from './kind.ts';

type Machine = NonNullable<ClusterEndpoints['machine']>;

/** Makes the images of an archive (`docker save`, `npm run images -- --archive FOLDER`) known to every node. */
export async function loadImages(
  cluster: ClusterEndpoints,
  archive: string,
  context: Context,
): Promise<void> {
  if (!existsSync(archive)) throw new EnvironmentError('WARREN_ENVIRONMENT_BUILD', `there is no ${archive}`);
  context.report('cluster', `loading ${archive}`);
  if (cluster.machine !== undefined) return importImages(cluster.machine, archive);
  const args = ['load', 'image-archive', archive, `--name=${KIND_CLUSTER}`];
  await run('kind', args, { part: 'kind', what: `loading ${archive}`, ...context });
}

export async function importImages(machine: Machine, archive: string): Promise<void> {
  for (const node of nodesOf(machine)) await importOn(machine, node, archive);
}

export const containerdAnswers = async (machine: Machine): Promise<boolean> => {
  const answers = nodesOf(machine).map((node) => succeeds(...ctr(machine, node, 'version')));
  return (await Promise.all(answers)).every(Boolean);
};

const nodesOf = ({ nodes }: Machine): Node[] =>
  Array.from({ length: nodes }, (_, index) => nodeOf(index + 1));

/** A command in the machine: with its file system, its network and its processes. */
function ctr(machine: Machine, node: Node, ...args: readonly string[]): [string, string[]] {
  const inside = [`--target=${machine.pid}`, '--mount', '--net', '--pid', '--'];
  const command = ['ctr', `--address=${containerd(node).socket}`, '--namespace=k8s.io', ...args];
  return ['nsenter', [...inside, ...command]];
}

async function importOn(machine: Machine, node: Node, archive: string): Promise<void> {
  const child = spawn(...ctr(machine, node, 'images', 'import', '-'), { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close') as Promise<[number | null]>;
  // It may end before it has read all; what it says then counts.
  await pipeline(createReadStream(archive), child.stdin).catch(() => undefined);
  const [code] = await ended;
  if (code !== 0)
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_BUILD',
      `importing ${archive} on ${node.name}: ${said.trim()}`,
    );
}
