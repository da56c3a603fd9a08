/**
 * messaging-topology-operator beside us: the same topology on the same API server and broker, built from its Go module, with
 * its defaults, webhooks off and a connection Secret. One subscription is six resources of it. Nothing of it is kept here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { goBinaries, printer, run } from '@warren/environment';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { createReflector, silentLog } from '@warren/controller';
import type { KubernetesObject, ResourceType } from '@warren/controller';
import { wantedTopology, capabilitiesOf } from '@warren/topology';
import { kubernetesWorld } from '../../operator/src/testing/kubernetes-world.ts';
import type { KubernetesWorld } from '../../operator/src/testing/kubernetes-world.ts';
import { conditionOf } from '../../operator/src/conditions.ts';
import { cpuMeter, usageOf } from './machine.ts';
import { inParallel, pause, round, seconds } from './measuring.ts';
import { metricsOf, sum } from './metrics.ts';
import { specOf } from './world.ts';

const MODULE = 'github.com/rabbitmq/messaging-topology-operator';
const CLUSTER_MODULE = 'github.com/rabbitmq/cluster-operator/v2';
const ROOT = join(import.meta.dirname, '..', '..');

type Peer = KubernetesObject & {
  spec: Record<string, unknown>;
  status?: { conditions?: Parameters<typeof conditionOf>[0] };
};

const kind = (name: string, plural: string): ResourceType => ({
  group: 'rabbitmq.com',
  version: 'v1beta1',
  kind: name,
  plural,
  namespaced: true,
});
const KINDS = {
  exchange: kind('Exchange', 'exchanges'),
  queue: kind('Queue', 'queues'),
  policy: kind('Policy', 'policies'),
  binding: kind('Binding', 'bindings'),
};

/** @param withinSeconds by then it is stopped, and how far it was is the result */
export async function peer(
  names: readonly string[],
  ourSeconds: number,
  withinSeconds: number,
): Promise<Record<string, unknown>> {
  const module = 'topology-operator';
  const report = printer();
  const packages = [`${MODULE}/cmd`];
  const binary = join(await goBinaries({ module, packages, about: '3 min', report }), 'cmd');
  const folders = await run('go', ['list', '-m', '-f', '{{.Dir}}', MODULE, CLUSTER_MODULE], {
    part: module,
    what: 'looking for its CRDs',
    report,
    cwd: join(ROOT, 'environment', 'go', module),
  });
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  const definitions = folders
    .trim()
    .split('\n')
    .map((folder) => join(folder, 'config', 'crd', 'bases'));
  for (const folder of definitions) await world.kubectl('apply', '--server-side', '-f', folder);
  try {
    await world.kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all');
    await connectionSecret(world, broker.managementUrl);
    return await measure({
      binary,
      kubeconfig,
      world,
      vhost: broker.vhost,
      names,
      ourSeconds,
      withinSeconds,
    });
  } finally {
    await letGo(world);
    for (const folder of definitions) await world.kubectl('delete', '--wait=false', '-f', folder);
  }
}

interface Measured {
  binary: string;
  kubeconfig: string;
  world: KubernetesWorld;
  vhost: string;
  names: readonly string[];
  ourSeconds: number;
  withinSeconds: number;
}

async function measure(given: Measured): Promise<Record<string, unknown>> {
  const { world, names, ourSeconds, withinSeconds } = given;
  const resources = resourcesOf(given);
  const ready = new Set<string>();
  await using reflectors = new AsyncDisposableStack();
  for (const type of Object.values(KINDS)) {
    const resource = world.cluster.resource<Peer>(type);
    const reflector = reflectors.use(
      createReflector({ resource, namespace: world.namespace, log: silentLog }),
    );
    reflector.onChange(({ key, object }) => {
      const isReady = conditionOf(object.status?.conditions, 'Ready')?.status === 'True';
      if (isReady) ready.add(`${type.kind} ${key}`);
    });
    reflector.start();
    await reflector.synced;
  }
  const first = await start(given);
  const cpu = await cpuMeter();
  const begun = performance.now();
  let result: Record<string, unknown>;
  try {
    await inParallel(resources, async ({ type, object }) => {
      await world.cluster.resource<Peer>(type).create(object);
    });
    const createdSeconds = seconds(begun);
    const isReady = await eventually(() => ready.size === resources.length, {
      timeoutMs: Math.max(1, withinSeconds * 1_000 - (performance.now() - begun)),
      intervalMs: 50,
    }).then(
      () => true,
      () => false,
    );
    const peerSeconds = seconds(begun);
    const { cpuSeconds, rssMb } = await usageOf(first.pid);
    result = {
      resources: resources.length,
      readyResources: ready.size,
      seconds: peerSeconds,
      finished: isReady,
      createdSeconds,
      ourSeconds,
      timesFaster: round(peerSeconds / ourSeconds),
      ...(await first.counts()),
      rssMb,
      cpu: { operator: round(cpuSeconds), ...(await cpu()) },
    };
    if (!isReady) return result;
  } finally {
    await first.stop();
  }
  await using second = await start(given);
  const up = performance.now();
  await second.settled(resources.length);
  const syncedSeconds = seconds(up);
  const { clusterWrites, failedReconciles } = await second.counts();
  return {
    subscriptions: names.length,
    ...result,
    restart: { syncedSeconds, clusterWrites, failedReconciles },
  };
}

/** The same objects that we make, one resource each, and a policy for each queue: there is no sharing one. */
function resourcesOf({ names, world, vhost }: Measured): { type: ResourceType; object: Peer }[] {
  const { namespace } = world;
  const reference = { rabbitmqClusterReference: { connectionSecret: { name: 'peer' } }, vhost };
  const object = (type: ResourceType, name: string, spec: Record<string, unknown>) => ({
    type,
    object: { metadata: { name, namespace }, spec: { ...reference, ...spec } },
  });
  const exchanges = ['events', 'failed_events'].map((name) =>
    object(KINDS.exchange, name.replace('_', '-'), { name, type: 'topic', durable: true }),
  );
  const capabilities = capabilitiesOf('4.3.6');
  const each = names.map((name) => {
    const wanted = wantedTopology({ namespace, name, spec: specOf() }, capabilities);
    const queues = wanted.queues.map((queue) => {
      const { 'x-queue-type': type, ...args } = queue.arguments;
      return object(KINDS.queue, queue.name, { name: queue.name, type, durable: true, arguments: args });
    });
    const policies = wanted.memberships.slice(-1).map(({ queue, settings }) =>
      object(KINDS.policy, queue, {
        name: queue,
        pattern: `^${queue.replaceAll('.', '\\.')}$`,
        applyTo: 'queues',
        definition: settings,
      }),
    );
    const bindings = wanted.bindings.map(({ source, destination, routingKey }, index) =>
      object(KINDS.binding, `${destination}.${index}`, {
        source,
        destination,
        destinationType: 'queue',
        routingKey,
      }),
    );
    return [...policies, ...queues, ...bindings];
  });
  return [...exchanges, ...each.flat()];
}

async function connectionSecret(world: KubernetesWorld, managementUrl: string): Promise<void> {
  const { origin, username, password } = new URL(managementUrl);
  await world.kubectl(
    ...['create', 'secret', 'generic', 'peer', `--from-literal=uri=${origin}`],
    ...[`--from-literal=username=${username}`, `--from-literal=password=${password}`],
  );
  await world.kubectl('label', 'secret', 'peer', 'rabbitmq.com/topology-operator=true');
}

/** Nobody is there to take the finalizers off. */
async function letGo({ cluster, namespace }: KubernetesWorld): Promise<void> {
  for (const type of Object.values(KINDS)) {
    const client = cluster.resource<Peer>(type);
    const { items } = await client.list({ namespace });
    await inParallel(items, async ({ metadata }) => {
      await client.mergePatch(metadata, { metadata: { finalizers: null } }).catch(() => undefined);
    });
  }
}

async function start({ binary, kubeconfig, world }: Measured) {
  const port = await freePort();
  const flags = [`--metrics-bind-address=127.0.0.1:${port}`, '--metrics-secure=false'];
  const child = spawn(binary, [...flags, '--health-probe-bind-address=0', '--zap-log-level=error'], {
    env: {
      ...process.env,
      KUBECONFIG: kubeconfig,
      OPERATOR_NAMESPACE: world.namespace,
      OPERATOR_SCOPE_NAMESPACE: world.namespace,
      ENABLE_WEBHOOKS: 'false',
    },
    stdio: 'ignore',
  });
  const ended = once(child, 'close');
  const read = () => metricsOf(port);
  await eventually(
    () =>
      read().then(
        () => true,
        () => false,
      ),
    { timeoutMs: 60_000, intervalMs: 50 },
  );
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  return {
    pid: child.pid ?? 0,
    counts: async () => {
      const metrics = await read();
      return {
        clusterRequests: sum(metrics, 'rest_client_requests_total'),
        clusterWrites: sum(metrics, 'rest_client_requests_total', /method="(POST|PUT|PATCH|DELETE)"/),
        failedReconciles: sum(metrics, 'controller_runtime_reconcile_total', /result="error"/),
      };
    },
    settled: async (reconciles: number) => {
      for (;;) {
        const metrics = await read();
        const waiting = sum(metrics, 'workqueue_depth') + sum(metrics, 'controller_runtime_active_workers');
        if (waiting === 0 && sum(metrics, 'controller_runtime_reconcile_total') >= reconciles) return;
        await pause(100);
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}
