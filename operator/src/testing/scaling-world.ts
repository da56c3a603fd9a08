/** For tests: an operator that scales, reached by the API server as an aggregated API server, and consumers to be scaled. */
import { KubeConfig } from '@kubernetes/client-node';
import { createCluster, createReflector, resources, silentLog } from '@warren/controller';
import type { Cluster, KubernetesObject, ResourceClient } from '@warren/controller';
import { Registry } from 'prom-client';
import type { MetricOf } from '../external-metrics/api.ts';
import type { Lifetimes } from '../external-metrics/certificates.ts';
import { KubernetesSource } from '../kubernetes/kubernetes-source.ts';
import { createLog } from '../log.ts';
import { createOperator } from '../operator.ts';
import { openScaling } from '../scaling/open.ts';
import type { KubernetesWorld } from './kubernetes-world.ts';
import { recordCalls } from './recording-client.ts';
import type { Calls } from './recording-client.ts';
import { running } from './running.ts';

interface Scaled extends KubernetesObject {
  spec: { replicas?: number };
}

export interface ScalingOperator extends AsyncDisposable {
  readonly calls: Calls;
  readonly port: number;
  readonly metricOf: MetricOf;
  /** Requests to the API server that change something: `PATCH`. */
  readonly writes: readonly string[];
  reset(): void;
  stop(): Promise<void>;
}

export const SERVICE = 'warren';

/** Leads the API server to a port of this machine, as the chart leads it to the operator, or KEDA's to its adapter. */
export async function leadMetricsTo(
  cluster: Cluster,
  namespace: string,
  port: number,
  { name = SERVICE, authority }: { name?: string; authority?: string } = {},
): Promise<void> {
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
  } as KubernetesObject);
  await cluster.apply({
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: 'v1beta1.external.metrics.k8s.io' },
    spec: {
      ...{ group: 'external.metrics.k8s.io', version: 'v1beta1' },
      ...{ groupPriorityMinimum: 100, versionPriority: 100 },
      service: { namespace, name, port },
      ...(authority === undefined ? {} : { caBundle: Buffer.from(authority).toString('base64') }),
    },
  } as KubernetesObject);
}

interface Tuning {
  port?: number;
  lifetimes?: Lifetimes;
  sampleMs?: number;
  /** Also for what is installed. */
  lookAgainMs?: number;
}

export async function startScalingOperator(
  kubeconfig: string,
  { namespace }: Pick<KubernetesWorld, 'namespace'>,
  { port = 0, lifetimes, sampleMs = 500, lookAgainMs = 60_000 }: Tuning = {},
): Promise<ScalingOperator> {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  const writes: string[] = [];
  const cluster = createCluster({
    kubeConfig,
    fieldManager: 'warren-operator',
    observer: {
      finished: ({ method }) => {
        if (method !== 'GET') writes.push(method);
      },
      retried: () => undefined,
    },
  });
  const log = createLog({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const source = new KubernetesSource({ cluster, namespace, instance: 'test', log });
  const scaling = await openScaling({
    ...{ cluster, source, namespace, log, settings: { port, service: SERVICE } },
    ...{ enginesMs: lookAgainMs, ...(lifetimes === undefined ? {} : { lifetimes }) },
  });
  const calls = recordCalls();
  const operator = createOperator({
    ...{ source, registry: new Registry(), log, connect: calls.connect, resyncMs: 500 },
    shutdownDeadlineMs: 5_000,
    scaling: { ...scaling.options, sampleMs, lookAgainMs },
  });
  const stop = running(operator, async () => {
    await scaling[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
    await cluster.close();
  });
  return {
    calls,
    port: scaling.port,
    metricOf: scaling.metricOf,
    writes,
    reset: () => {
      writes.length = 0;
      calls.reset();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

export interface Workload {
  readonly client: ResourceClient<Scaled>;
  replicas(): Promise<number>;
  scale(replicas: number): Promise<void>;
}

/** Deployment objects with pods that never run: there is no node. */
export async function deployment(
  cluster: Cluster,
  namespace: string,
  name: string,
  replicas: number,
): Promise<Workload> {
  const client = cluster.resource<Scaled>(resources.deployments);
  const labels = { app: name };
  await client.create({
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name, image: 'none' }] } },
    },
  } as Scaled);
  return {
    client,
    replicas: async () => (await client.get({ name, namespace })).spec.replicas ?? 1,
    scale: async (wanted) => {
      await client.mergePatch({ name, namespace }, { spec: { replicas: wanted } });
    },
  };
}

export interface ReplicasRecord extends AsyncDisposable {
  /** Every number of replicas that a workload was given, in order. */
  readonly seen: readonly number[];
}

/** By a watch: a number that held for a moment counts too. */
export async function recordReplicas({ client }: Workload, namespace: string): Promise<ReplicasRecord> {
  const seen: number[] = [];
  const reflector = createReflector({ resource: client, namespace, log: silentLog });
  reflector.onChange(({ object }) => {
    const replicas = object.spec.replicas ?? 1;
    if (replicas !== seen.at(-1)) seen.push(replicas);
  });
  reflector.start();
  await reflector.synced;
  return { seen, [Symbol.asyncDispose]: () => reflector.stop() };
}
