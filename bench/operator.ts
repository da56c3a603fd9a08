/**
 * The operator beside the management API used directly, and what it costs while nothing happens.
 *
 *   ready   how long an operator that starts takes until the last of N EventSubscriptions on a real API server says Ready
 *   raw     the same broker objects, declared by 16 parallel calls that claim, compare, write and tell nothing
 *   idle    what one resync costs while nothing differs
 *   repair  how long it takes from a deletion by hand until the queue is there again; half a resync is waiting
 */
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { createManagementClient } from '@warren/rabbitmq';
import type { ManagementClient } from '@warren/rabbitmq';
import { capabilitiesOf, difference, inventoryOf, policyPlan, wantedTopology } from '@warren/topology';
import type { EventSubscriptionSpec, Step } from '@warren/topology';
import { kubernetesWorld, startClusterOperator } from '../operator/src/testing/kubernetes-world.ts';
import type { ClusterOperator, KubernetesWorld } from '../operator/src/testing/kubernetes-world.ts';
import { plainSpec } from '../operator/src/testing/plain-spec.ts';
import { numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';

const PARALLEL = 16;

const spec: EventSubscriptionSpec = {
  ...plainSpec,
  events: ['OrderPlaced', 'PaymentApproved'],
  deletionPolicy: 'Delete',
};

const seconds = (since: number) => Number(((performance.now() - since) / 1_000).toFixed(2));

async function* operator(options: Options): AsyncGenerator<Record<string, unknown>> {
  const count = numberOption(options, 'subscriptions', 200);
  const resyncMs = numberOption(options, 'resync', 5) * 1_000;
  const resyncs = numberOption(options, 'resyncs', 5);
  const { kubeconfig } = await testKubernetes();
  const names = Array.from({ length: count }, (_, index) => `s${index}`);
  const rawSeconds = await raw(names);
  await using broker = await testBroker();
  await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  await using world = await kubernetesWorld(kubeconfig, broker);
  const { events, deletionPolicy } = spec;
  await inParallel(names, (name) => world.subscribe(name, { events, deletionPolicy }));

  const begun = performance.now();
  await using measured = startClusterOperator(kubeconfig, world, { resyncMs });
  await eventually(() => allReady(world, count), { timeoutMs: 300_000, intervalMs: 200 });
  const readySeconds = seconds(begun);
  yield {
    what: 'ready',
    subscriptions: count,
    seconds: readySeconds,
    rawSeconds,
    ratio: Number((readySeconds / rawSeconds).toFixed(2)),
    brokerWrites: measured.calls.writes,
    clusterWrites: measured.writes,
  };
  yield { what: 'idle', subscriptions: count, resyncMs, ...(await idle(measured, resyncs)) };
  const deleted = performance.now();
  await api.deleteQueue(`${world.namespace}.s0`);
  await eventually(async () => (await api.bindingsOf(`${world.namespace}.s0`)).length === 2);
  yield { what: 'repair', subscriptions: count, resyncMs, seconds: seconds(deleted) };
}

async function idle(measured: ClusterOperator, resyncs: number): Promise<Record<string, unknown>> {
  // Events are written slowly, so that they disturb nobody: they are not rest.
  do await rounds(measured, 1);
  while (measured.writes > 0);
  const cpu = process.cpuUsage();
  await rounds(measured, resyncs);
  const { user, system } = process.cpuUsage(cpu);
  return {
    brokerWrites: measured.calls.writes,
    brokerReads: measured.calls.made.length / resyncs,
    clusterWrites: measured.writes,
    cpuMs: Math.round((user + system) / 1_000 / resyncs),
  };
}

async function rounds(measured: ClusterOperator, wanted: number): Promise<void> {
  measured.reset();
  await eventually(() => measured.calls.made.filter((call) => call === 'overview').length > wanted, {
    timeoutMs: 600_000,
    intervalMs: 50,
  });
}

async function allReady({ subscriptions, namespace }: KubernetesWorld, count: number): Promise<boolean> {
  const { items } = await subscriptions.list({ namespace });
  const ready = items.filter((one) =>
    one.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
  );
  return ready.length === count;
}

/** Seconds. The policies before the queues, as the operator does it. */
async function raw(names: readonly string[]): Promise<number> {
  await using broker = await testBroker();
  await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  const nothing = inventoryOf({ exchanges: [], queues: [], bindings: [], policies: [] });
  const capabilities = capabilitiesOf((await api.overview()).version);
  const wanted = names.map((name) =>
    difference(wantedTopology({ namespace: 'bench', name, spec }, capabilities), nothing),
  );
  const begun = performance.now();
  const policies = policyPlan(
    wanted.flatMap(({ memberships }) => memberships),
    [],
  );
  for (const step of policies) await write(api, step);
  await inParallel(wanted, async ({ steps }) => {
    for (const step of steps) await write(api, step);
  });
  return seconds(begun);
}

async function write(api: ManagementClient, step: Step): Promise<void> {
  switch (step.step) {
    case 'declareExchange':
      return api.declareExchange(step.exchange);
    case 'declareQueue':
      return api.declareQueue(step.queue);
    case 'bind':
      return api.bind(step.binding);
    case 'putPolicy':
      return api.putPolicy(step.policy);
    default:
      throw new TypeError(`nothing is there, and yet: ${step.step}`);
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

export const benches: Record<string, Bench> = {
  operator: {
    about: 'subscriptions until Ready, beside bare declarations; the cost of rest; the time of a repair',
    run: operator,
  },
};
