/**
 * The cluster where a Docker engine runs: kind makes it, with the same file that docs/how-to/kind.md uses.
 *
 * The project's own machine has no engine: this was written after kind's documentation and could not be run.
 */
import { join } from 'node:path';
import { run, succeeds } from '../command.ts';
import type { Context } from '../debian.ts';
import { repositoryRoot } from '../endpoints.ts';
import type { RunFolder } from '../run-folder.ts';
import type { Cluster } from './cluster.ts';

export const KIND_CLUSTER = 'warren-cluster';

/** Whether an engine answers and kind is there. `WARREN_DOCKER=0` says no. */
export const hasKind = async (): Promise<boolean> =>
  process.env['WARREN_DOCKER'] !== '0' &&
  (await succeeds('docker', ['info'])) &&
  (await succeeds('kind', ['version']));

export async function startKind(folder: RunFolder, context: Context): Promise<Cluster> {
  const kubeconfig = join(folder.data('kind'), 'kubeconfig');
  const kind = (what: string, ...args: string[]) => run('kind', args, { part: 'kind', what, ...context });
  const named = `--name=${KIND_CLUSTER}`;
  const remove = () => kind('removing the cluster', 'delete', 'cluster', named, `--kubeconfig=${kubeconfig}`);
  // What a killed run has left would be in the way.
  await remove();
  const config = join(repositoryRoot, 'k8s/overlays/kind/cluster.yaml');
  const create = [
    'create',
    'cluster',
    named,
    `--config=${config}`,
    `--kubeconfig=${kubeconfig}`,
    '--wait=3m',
  ];
  await kind('making a cluster', ...create);
  return {
    kubeconfig,
    // Its own network does since v0.24.
    networkPolicies: true,
    [Symbol.asyncDispose]: async () => {
      await remove();
    },
  };
}
