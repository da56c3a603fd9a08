/** The operator as a process: its source, its server, its controllers, and the order in which they end. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createCluster, createLeaderElector, createMetrics } from '@warren/controller';
import type { ControllerMetrics, LeaderElector } from '@warren/controller';
import type { Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Command } from './cli.ts';
import { KubernetesSource } from './kubernetes/kubernetes-source.ts';
import { createOperator } from './operator.ts';
import type { Scaling } from './scaling/open.ts';
import { startServer } from './server.ts';
import type { Settings } from './settings.ts';
import type { ResourceSource } from './source.ts';

type Run = Extract<Command, { command: 'run' }>;

const FIELD_MANAGER = 'warren-operator';

/** Operators for one namespace take turns; those for others, in releases beside each other, do not wait for them. */
const leaseFor = (namespace: string | undefined): string =>
  namespace === undefined ? 'warren-operator' : `warren-operator.${namespace}`;

interface Opened extends AsyncDisposable {
  source: ResourceSource;
  election?: LeaderElector;
  scaling?: Scaling;
  /** CustomResourceDefinitions that are to be applied. */
  missingDefinitions(): string[];
}

/** What `/readyz` says before all resources are known. */
export function whyNotListed(missing: readonly string[]): string[] {
  if (missing.length === 0) return ['the resources have not been listed yet'];
  return missing.map(
    (name) => `the API server does not know ${name}: apply the CustomResourceDefinitions of this version`,
  );
}

/** Runs until the signal aborts. Rejects when it cannot start, or has lost its leadership. */
export async function run(
  { source: where, workers, resyncMs }: Run,
  settings: Settings,
  { log, signal }: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = createMetrics(registry);
  await using opened =
    where.mode === 'folder'
      ? await openFolder(where, settings, log)
      : await openKubernetes(where, settings, metrics, log);
  const { source, election, scaling } = opened;
  const operator = createOperator({
    source,
    registry,
    metrics,
    log,
    workers,
    resyncMs,
    abandonAfterMs: settings.abandonAfterMs,
    ...(election === undefined ? {} : { election }),
    ...(scaling === undefined ? {} : { scaling: scaling.options }),
  });
  await using server = await startServer({
    port: settings.port,
    registry,
    metricOf: scaling?.metricOf,
    notReady: () => (operator.synced ? [] : whyNotListed(opened.missingDefinitions())),
  });
  log.info({ port: server.port }, 'the operator has started; /livez, /readyz and /metrics answer');
  await operator.run(signal);
  log.info('the operator has ended');
}

async function openFolder(
  { folder, state }: { folder: string; state: string },
  { crdDir }: Settings,
  log: Logger,
): Promise<Opened> {
  const [{ FolderSource }, { readValidators }] = await Promise.all([
    import('./folder/folder-source.ts'),
    import('./validation/definitions.ts'),
  ]);
  const source = await FolderSource.open({
    folder,
    state,
    validators: readValidators(crdDir),
    log,
    onProblem: (line) => log.warn(line),
  });
  log.info({ folder, state }, 'the resources are those of a folder');
  return { source, missingDefinitions: () => [], [Symbol.asyncDispose]: () => source.close() };
}

async function openKubernetes(
  { namespace }: { namespace?: string },
  settings: Settings,
  metrics: ControllerMetrics,
  log: Logger,
): Promise<Opened> {
  const cluster = createCluster({ fieldManager: FIELD_MANAGER, observer: metrics.requests });
  const identity = `${hostname()}_${randomUUID().slice(0, 8)}`;
  const source = new KubernetesSource({
    cluster,
    instance: identity,
    metrics,
    log,
    ...(namespace === undefined ? {} : { namespace }),
  });
  const election = createLeaderElector({
    cluster,
    namespace: settings.namespace,
    name: leaseFor(namespace),
    identity,
    observer: metrics.election,
    log,
    onNewLeader: (leader) => log.info({ leader, self: leader === identity }, 'the leader is known'),
  });
  const scaling =
    settings.scaling === undefined
      ? undefined
      : await (
          await import('./scaling/open.ts')
        ).openScaling({
          ...{ cluster, source, metrics, log, settings: settings.scaling },
          namespace: settings.namespace,
        });
  if (scaling !== undefined) log.info({ port: scaling.port }, 'external metrics are served');
  return {
    source,
    election,
    missingDefinitions: () => source.missingDefinitions(),
    ...(scaling === undefined ? {} : { scaling }),
    [Symbol.asyncDispose]: async () => {
      await scaling?.[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
      await cluster.close();
    },
  };
}
