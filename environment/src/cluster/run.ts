/** Brings a cluster with nodes up, by kind where Docker runs, else on this machine, and says in the endpoints file where it is. */
import { mkdirSync } from 'node:fs';
import { undo } from '../docker.ts';
import { endpointsFile, publishCluster, readCluster, stateDir, type ClusterEndpoints } from '../endpoints.ts';
import { EnvironmentError } from '../errors.ts';
import { onExit } from '../exit.ts';
import { printer, type Report } from '../progress.ts';
import { RunFolder, tidyUp } from '../run-folder.ts';
import { lackingForCluster } from './binaries.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { hasKind, startKind } from './kind.ts';

export interface ClusterEnvironmentOptions {
  /** How many nodes, where it is ours to say: 1 by default, at most 5. */
  nodes?: number;
  /** Leaves data and logs when it ends: `WARREN_KEEP=1` by default. */
  keep?: boolean;
  report?: Report;
  /** Abandons the start; what was started is ended. */
  signal?: AbortSignal;
}

export interface ClusterEnvironment extends AsyncDisposable {
  endpoints: ClusterEndpoints;
}

/** What is missing for a cluster on this machine, as sentences; empty where `bringUpCluster` can make one. */
export const clusterLacks = async (): Promise<string[]> => ((await hasKind()) ? [] : lackingForCluster());

/** One a state folder. All of it ends with `[Symbol.asyncDispose]`, and with this process. Rejects with an `EnvironmentError`. */
export async function bringUpCluster(options: ClusterEnvironmentOptions = {}): Promise<ClusterEnvironment> {
  const { report = printer(), signal, nodes = 1 } = options;
  const keep = options.keep ?? process.env['WARREN_KEEP'] === '1';
  const state = stateDir();
  mkdirSync(state, { recursive: true });
  const running = readCluster();
  if (running !== undefined)
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_START',
      `A cluster runs already (process ${running.owner.pid}): KUBECONFIG=${running.kubeconfig}. npm run cluster:down ends it.`,
    );
  await tidyUp(state, report, undo);
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new RunFolder(state, keep, 'cluster'));
  if (keep) stack.defer(() => report('cluster', `data and logs are kept in ${folder.path}`));
  const cluster: Cluster = stack.use(
    (await hasKind())
      ? await startKind(folder, { report, signal })
      : await startCluster(folder, { report, signal, nodes, keep }),
  );
  const { kubeconfig, machine, networkPolicies } = cluster;
  const endpoints: ClusterEndpoints = {
    ...{ kubeconfig, networkPolicies, owner: folder.owner },
    ...(machine && { machine }),
  };
  const file = endpointsFile();
  publishCluster(file, endpoints);
  const unpublish = () => {
    if (readCluster(file)?.owner.pid === process.pid) publishCluster(file, undefined);
  };
  const atExit = onExit(unpublish);
  stack.defer(() => {
    atExit[Symbol.dispose]();
    unpublish();
  });
  const owned = stack.move();
  return { endpoints, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
