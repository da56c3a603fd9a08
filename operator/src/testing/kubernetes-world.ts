/** For tests: a namespace of its own on a real API server, with a broker, and operators in this process or their own. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { createCluster, resources } from '@warren/controller';
import type { Cluster, CustomResource, KubernetesObject, ResourceClient } from '@warren/controller';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { conditionOf } from '../conditions.ts';
import { brokerType, KubernetesSource, subscriptionType } from '../kubernetes/kubernetes-source.ts';
import { createLog } from '../log.ts';
import { createOperator } from '../operator.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import { ROOT, spawnOperator } from './operator-process.ts';
import type { OperatorProcess } from './operator-process.ts';
import { recordCalls } from './recording-client.ts';
import type { Calls } from './recording-client.ts';
import { running } from './running.ts';

interface StoredEvent extends KubernetesObject {
  reason: string;
  type: string;
  note: string;
  regarding: { name: string };
}

export interface KubernetesWorld extends AsyncDisposable {
  readonly namespace: string;
  readonly cluster: Cluster;
  readonly subscriptions: ResourceClient<SubscriptionResource>;
  /** Applies an EventSubscription of the namespace, on its broker. */
  subscribe(name: string, spec: Record<string, unknown>, metadata?: Record<string, unknown>): Promise<void>;
  get(name: string): Promise<SubscriptionResource | undefined>;
  isReady(name: string): Promise<boolean>;
  secret(name: string): Promise<Record<string, string> | undefined>;
  /** What was told of an object of the namespace: `Normal Ready`. */
  told(name: string): Promise<string[]>;
  kubectl(...args: string[]): Promise<string>;
  /** An operator as a process of its own, for this namespace alone. */
  spawnOperator(env?: Record<string, string>): OperatorProcess;
}

export async function kubernetesWorld(
  kubeconfig: string,
  access: { amqpUrl: string; managementUrl: string },
): Promise<KubernetesWorld> {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  const cluster = createCluster({ kubeConfig, fieldManager: 'operator-test' });
  await applyDefinitions(cluster);
  const namespace = `operator-${randomBytes(4).toString('hex')}`;
  await cluster.resource(resources.namespaces).create({ metadata: { name: namespace } });
  const secrets = cluster.resource<KubernetesObject & { data?: Record<string, string> }>(resources.secrets);
  const data = { uri: access.amqpUrl, 'management-uri': access.managementUrl };
  await secrets.create({
    metadata: { name: 'rabbitmq', namespace },
    stringData: data,
  } as KubernetesObject);
  const brokers = cluster.resource<BrokerResource>(brokerType);
  await brokers.create({
    metadata: { name: namespace },
    spec: { secretRef: { namespace, name: 'rabbitmq' }, allowedNamespaces: [namespace] },
  });
  const subscriptions = cluster.resource<SubscriptionResource>(subscriptionType);
  const children: OperatorProcess[] = [];
  return {
    namespace,
    cluster,
    subscriptions,
    subscribe: async (name, spec, metadata = {}) => {
      await subscriptions.apply({
        metadata: { name, namespace, ...metadata },
        spec: { brokerRef: { name: namespace }, ...spec },
      } as unknown as SubscriptionResource);
    },
    get: (name) => subscriptions.find({ name, namespace }),
    isReady: async (name) => {
      const found = await subscriptions.find({ name, namespace });
      const ready = conditionOf(found?.status?.conditions, 'Ready');
      return ready?.status === 'True' && ready.observedGeneration === found?.metadata.generation;
    },
    secret: async (name) => {
      const found = await secrets.find({ name, namespace });
      if (found === undefined) return undefined;
      return Object.fromEntries(
        Object.entries(found.data ?? {}).map(([key, value]) => [
          key,
          Buffer.from(value, 'base64').toString(),
        ]),
      );
    },
    told: async (name) => {
      const { items } = await cluster.resource<StoredEvent>(resources.events).list({ namespace });
      return items
        .filter(({ regarding }) => regarding.name === name)
        .map(({ type, reason }) => `${type} ${reason}`);
    },
    kubectl: (...args) => kubectl(['--kubeconfig', kubeconfig, '-n', namespace, ...args]),
    spawnOperator: (env) => {
      const child = spawnOperator(['--kubernetes', '--namespace', namespace, '--resync', '1'], {
        KUBECONFIG: kubeconfig,
        OPERATOR_NAMESPACE: namespace,
        ...env,
      });
      children.push(child);
      return child;
    },
    [Symbol.asyncDispose]: async () => {
      for (const child of children) await child[Symbol.asyncDispose]();
      // Nobody is there to take the finalizers off.
      for (const one of (await subscriptions.list({ namespace })).items)
        await subscriptions.patchFinalizers(one, []).catch(() => undefined);
      await brokers.delete({ name: namespace });
      await cluster.resource(resources.namespaces).delete({ name: namespace });
      await cluster.close();
    },
  };
}

/** Resolves when they are served. */
export async function applyDefinitions(cluster: Cluster): Promise<void> {
  const folder = join(ROOT, 'charts', 'warren', 'crds');
  type Definition = CustomResource<unknown, { conditions?: { type: string; status: string }[] }>;
  const definitions = cluster.resource<Definition>(resources.customResourceDefinitions);
  for (const file of await readdir(folder)) {
    const definition = parse(await readFile(join(folder, file), 'utf8')) as Definition;
    await definitions.apply(definition);
    for (;;) {
      const found = await definitions.get(definition.metadata);
      const established = found.status?.conditions?.find(({ type }) => type === 'Established');
      if (established?.status === 'True') break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function kubectl(args: readonly string[]): Promise<string> {
  const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => out.push(chunk));
  await once(child, 'close');
  return Buffer.concat(out).toString();
}

export interface ClusterOperator extends AsyncDisposable {
  readonly calls: Calls;
  /** Requests to the API server that change something. */
  readonly writes: number;
  readonly requests: readonly string[];
  /** Answers of the API server that what is written has changed meanwhile. */
  readonly conflicts: number;
  reset(): void;
  stop(): Promise<void>;
}

/** An operator in this process, without an election, for the world's namespace alone: others' are on the API server too. */
export function startClusterOperator(
  kubeconfig: string,
  { namespace }: Partial<Pick<KubernetesWorld, 'namespace'>>,
  tuning: { resyncMs?: number; workers?: number; tidyAfterMs?: number; abandonAfterMs?: number } = {},
): ClusterOperator {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  const requests: string[] = [];
  let conflicts = 0;
  const cluster = createCluster({
    kubeConfig,
    fieldManager: 'warren-operator',
    observer: {
      finished: ({ method, code }) => {
        requests.push(method);
        if (code === '409') conflicts += 1;
      },
      retried: () => undefined,
    },
  });
  const log = createLog({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' });
  const source = new KubernetesSource({
    ...{ cluster, instance: 'test', log },
    ...(namespace === undefined ? {} : { namespace }),
  });
  const calls = recordCalls();
  const operator = createOperator({
    source,
    registry: new Registry(),
    log,
    connect: calls.connect,
    resyncMs: 300,
    brokerPauseMs: { first: 100, longest: 400 },
    shutdownDeadlineMs: 5_000,
    ...tuning,
  });
  const stop = running(operator, async () => {
    await source[Symbol.asyncDispose]();
    await cluster.close();
  });
  return {
    calls,
    requests,
    get writes() {
      return requests.filter((method) => method !== 'GET').length;
    },
    get conflicts() {
      return conflicts;
    },
    reset: () => {
      requests.length = 0;
      conflicts = 0;
      calls.reset();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
