/** What is measured, one function each. Each starts the operator it needs and ends it. */
import { eventually, manage } from '@warren/environment/testing';
import type { ManagementClient } from '@warren/rabbitmq';
import type { KubernetesWorld } from '../../operator/src/testing/kubernetes-world.ts';
import type { Floor } from './floor.ts';
import { cpuMeter } from './machine.ts';
import { pause, percentile, round, seconds } from './measuring.ts';
import { startOperator } from './process.ts';
import type { Counts } from './process.ts';
import { create, watchReadiness } from './world.ts';

export interface Scene {
  kubeconfig: string;
  world: KubernetesWorld;
  broker: { managementUrl: string; vhost: string };
  api: ManagementClient;
  names: readonly string[];
  resyncSeconds: number;
}

type Result = Record<string, unknown>;

function startFor({ kubeconfig, world }: Scene, resyncSeconds: number) {
  return startOperator({ kubeconfig, namespace: world.namespace, resyncSeconds });
}

function since(before: Counts, after: Counts): Counts {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - before[name as keyof Counts]]),
  ) as unknown as Counts;
}

export async function ready(scene: Scene, least: Floor): Promise<Result> {
  const { world, names, resyncSeconds } = scene;
  await using operator = await startFor(scene, resyncSeconds);
  await using readiness = await watchReadiness(world);
  const cpu = await cpuMeter();
  const begun = performance.now();
  await create(world, names);
  const createdSeconds = seconds(begun);
  await readiness.count(names.length);
  const readySeconds = seconds(begun);
  const { cpuSeconds, rssMb } = await operator.usage();
  const { clusterWrites, brokerWrites, brokerReads, failedReconciles } = await operator.counts();
  return {
    seconds: readySeconds,
    createdSeconds,
    floorSeconds: least.seconds,
    ratio: round(readySeconds / least.seconds),
    failedReconciles,
    brokerWrites,
    brokerReads,
    clusterWrites,
    rssMb,
    floorCpu: least.cpu,
    cpu: { operator: round(cpuSeconds), ...(await cpu()) },
  };
}

export async function restart(scene: Scene): Promise<Result> {
  const { names, resyncSeconds } = scene;
  await using operator = await startFor(scene, resyncSeconds);
  const up = performance.now();
  await operator.settled(names.length);
  const syncedSeconds = seconds(up);
  const { cpuSeconds, rssMb } = await operator.usage();
  const { clusterWrites, brokerWrites, brokerReads, failedReconciles } = await operator.counts();
  const { upSeconds } = operator;
  return {
    upSeconds,
    syncedSeconds,
    clusterWrites,
    brokerWrites,
    brokerReads,
    failedReconciles,
    rssMb,
    cpuSeconds,
  };
}

export async function idle(scene: Scene): Promise<Result> {
  const { names, resyncSeconds } = scene;
  await using operator = await startFor(scene, resyncSeconds);
  await operator.settled(names.length);
  await pause(2 * resyncSeconds * 1_000);
  const before = { counts: await operator.counts(), usage: await operator.usage(), at: performance.now() };
  const resyncs = 4;
  await pause(resyncs * resyncSeconds * 1_000);
  const lasted = (performance.now() - before.at) / 1_000;
  const usage = await operator.usage();
  const { clusterWrites, clusterReads, brokerWrites, brokerReads } = since(
    before.counts,
    await operator.counts(),
  );
  return {
    seconds: round(lasted),
    resyncSeconds,
    clusterWrites,
    brokerWrites,
    brokerReadsPerResync: round(brokerReads / (lasted / resyncSeconds)),
    clusterReadsPerMinute: round(clusterReads / (lasted / 60)),
    corePercent: round(((usage.cpuSeconds - before.usage.cpuSeconds) / lasted) * 100),
    rssMb: usage.rssMb,
  };
}

/** Full resyncs come one after the other: a second is the shortest there is. */
const WITHOUT_REST = 1;

export async function another(scene: Scene): Promise<Result> {
  const { world, names } = scene;
  await using operator = await startFor(scene, WITHOUT_REST);
  await operator.settled(names.length);
  await using readiness = await watchReadiness(world);
  const times: number[] = [];
  for (let index = 0; index < 100; index += 1) {
    const name = `new-${index}`;
    const begun = performance.now();
    await create(world, [name]);
    times.push((await readiness.of(name)) - begun);
  }
  return spread(times);
}

export async function edit(scene: Scene): Promise<Result> {
  const { world, names } = scene;
  await using operator = await startFor(scene, WITHOUT_REST);
  await operator.settled(names.length);
  const times: number[] = [];
  for (const [index, name] of names.slice(0, 50).entries()) {
    const maxLength = 1_000 + index;
    const begun = performance.now();
    await world.subscriptions.mergePatch(
      { name, namespace: world.namespace },
      { spec: { queue: { maxLength } } },
    );
    await eventually(
      async () => {
        const effective = await effectiveDefinition(scene, `${world.namespace}.${name}`);
        return effective['max-length'] === maxLength;
      },
      { timeoutMs: 60_000, intervalMs: 20 },
    );
    times.push(performance.now() - begun);
  }
  return spread(times);
}

/** What the broker itself says is in force at a queue. */
async function effectiveDefinition({ broker }: Scene, queue: string): Promise<Record<string, unknown>> {
  const where = `/api/queues/${broker.vhost}/${queue}?disable_stats=true`;
  const { effective_policy_definition: definition } = (await manage(
    broker.managementUrl,
    'GET',
    where,
  )) as Record<string, unknown>;
  return (definition ?? {}) as Record<string, unknown>;
}

export async function drift(scene: Scene): Promise<Result> {
  const { world, names, api, resyncSeconds } = scene;
  await using operator = await startFor(scene, resyncSeconds);
  await operator.settled(names.length);
  const queue = `${world.namespace}.s0`;
  const back = async (spoil: () => Promise<void>, isBack: () => Promise<boolean>) => {
    await spoil();
    const begun = performance.now();
    await eventually(isBack, { timeoutMs: 120_000, intervalMs: 50 });
    return seconds(begun);
  };
  const bindings = await api.bindingsOf(queue);
  const queueSeconds = await back(
    () => api.deleteQueue(queue),
    async () => (await api.bindingsOf(queue)).length === bindings.length,
  );
  const [binding] = await api.bindingsOf(queue);
  if (binding === undefined) throw new Error(`${queue} has no binding`);
  const bindingSeconds = await back(
    () => api.unbind(binding),
    async () => (await api.bindingsOf(queue)).length === bindings.length,
  );
  const policy = (await api.queue(queue))?.policy ?? '';
  const policySeconds = await back(
    () => api.deletePolicy(policy),
    async () => (await api.queue(queue))?.policy === policy,
  );
  return { resyncSeconds, queueSeconds, bindingSeconds, policySeconds };
}

function spread(milliseconds: readonly number[]): Result {
  return {
    times: milliseconds.length,
    medianMs: Math.round(percentile(milliseconds, 50)),
    p99Ms: Math.round(percentile(milliseconds, 99)),
  };
}
