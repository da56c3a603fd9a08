/** All of scaling in one process: what the controllers need, and what is served for as long as the process lives. */
import type { Cluster, ControllerMetrics, Log } from '@warren/controller';
import type { MetricOf } from '../external-metrics/api.ts';
import { createAuthorizer } from '../external-metrics/authorizer.ts';
import type { Lifetimes } from '../external-metrics/certificates.ts';
import { startExternalMetrics } from '../external-metrics/server.ts';
import { ServingKeeper } from '../external-metrics/serving.ts';
import { conditionOf } from '../conditions.ts';
import type { ScalingOptions } from '../operator.ts';
import type { ScalingSettings } from '../settings.ts';
import type { ResourceSource } from '../source.ts';
import { ScalingCluster } from './scaling-cluster.ts';

export interface Scaling extends AsyncDisposable {
  /** For createOperator. */
  readonly options: ScalingOptions;
  readonly metricOf: MetricOf;
  /** Of the external metrics API. */
  readonly port: number;
}

export interface ScalingEnvironment {
  cluster: Cluster;
  source: ResourceSource;
  settings: ScalingSettings;
  /** Where the operator lives. */
  namespace: string;
  metrics?: ControllerMetrics;
  log: Log;
  /** Seams for tests. */
  lifetimes?: Lifetimes;
  enginesMs?: number;
}

/** Every replica of the operator serves; only the leader decides. */
export async function openScaling(environment: ScalingEnvironment): Promise<Scaling> {
  const { cluster, source, settings, namespace, metrics, log, lifetimes, enginesMs } = environment;
  const shared = { cluster, log, ...(metrics === undefined ? {} : { metrics }) };
  const metricOf = metricsFrom(source);
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    await startExternalMetrics({ port: settings.port, metricOf, authorize: createAuthorizer(cluster), log }),
  );
  const keeper = new ServingKeeper({
    ...shared,
    namespace,
    service: settings.service,
    secret: `${settings.service}-external-metrics`,
    onChange: (serving) => server.update(serving),
    ...(lifetimes === undefined ? {} : { lifetimes }),
  });
  // In the background: an operator that may not read a Secret still keeps queues.
  const starting = keeper.start().catch((error: unknown) => {
    log.error({ error: String(error) }, 'the external metrics API cannot be served');
  });
  stack.defer(() => starting);
  stack.defer(() => keeper.stop());
  const platform = stack.use(
    new ScalingCluster({
      ...shared,
      ...(enginesMs === undefined ? {} : { enginesMs }),
      ...(source.namespace === undefined ? {} : { namespace: source.namespace }),
    }),
  );
  const owned = stack.move();
  return {
    options: {
      platform,
      metricsApi: keeper,
      url: `http://${settings.service}.${namespace}.svc/scaling`,
    },
    metricOf,
    port: server.port,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The status is the one truth: every replica of the operator answers the same, and kubectl shows what is scaled by. */
export function metricsFrom({ subscriptions }: Pick<ResourceSource, 'subscriptions'>): MetricOf {
  return (namespace, name) => {
    const resource = subscriptions.get(`${namespace}/${name}`);
    if (resource?.spec.scaling === undefined) return undefined;
    const { replicas, conditions } = resource.status ?? {};
    if (replicas?.desired !== undefined) return { replicas: replicas.desired };
    return { unknown: conditionOf(conditions, 'Scaling')?.message ?? 'not looked at yet' };
  };
}
