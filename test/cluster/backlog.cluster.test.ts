/**
 * Scaling for real: pods, an autoscaler that asks the operator, and a backlog. Draws docs/pictures/scaling.svg when
 * WARREN_PICTURES is true.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { root } from '../support/helm.ts';
import { picture, type Sample } from '../support/picture.ts';
import { clusterShop, fileOf, restrictedPod, SHOP, SYSTEM, values, type ClusterShop } from './support.ts';

/** One replica handles 80 a second: 4 at a time, 50 ms each. */
const PREFETCH = 4;
const WORK_MS = 50;
const DRAIN_WITHIN_S = 60;
const BACKLOG = Number(process.env['WARREN_TEST_BACKLOG'] ?? 20_000);
/** So many that they would need several replicas. */
const POISON = 15_000;

let shop: ClusterShop;
const metadata = { name: 'slow', namespace: SHOP };
const inShop = ['--namespace', SHOP];
const volumes = [
  { name: 'script', configMap: { name: 'slow' } },
  { name: 'binding', secret: { secretName: 'slow-binding' } },
];
const slow = (args: readonly string[], env: readonly object[]) => ({
  command: ['node', '/script/slow-consumer.ts', ...args],
  env,
  volumeMounts: [
    { name: 'script', mountPath: '/script' },
    { name: 'binding', mountPath: '/bindings/slow', readOnly: true },
  ],
});

beforeAll(async () => {
  shop = await clusterShop();
  await operator({ scaling: { enabled: true } });
  await shop.apply(
    {
      ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata },
      data: { 'slow-consumer.ts': await fileOf('test/cluster/slow-consumer.ts') },
    },
    {
      ...{ apiVersion: 'warren.events/v1alpha1', kind: 'EventSubscription', metadata },
      spec: {
        events: ['slow.work'],
        consumer: { kind: 'Deployment', name: 'slow' },
        delivery: { prefetch: PREFETCH, retry: { attempts: 30, backoff: { initial: '1s', max: '2s' } } },
        scaling: { minReplicas: 0, maxReplicas: 8, drainWithin: `${DRAIN_WITHIN_S}s`, engine: 'Hpa' },
        deletionPolicy: 'Delete',
      },
    },
  );
  const env = [{ name: 'WORK_MS', value: String(WORK_MS) }];
  const pod = restrictedPod('slow', slow([], env), { volumes }) as {
    spec: object;
    metadata: { labels: Record<string, string> };
  };
  const { labels } = pod.metadata;
  await shop.apply({
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { ...pod.spec, restartPolicy: 'Always', terminationGracePeriodSeconds: 30 },
      },
    },
  });
  await shop.kubectl(['wait', 'esub/slow', ...inShop, '--for=condition=Ready', '--timeout=60s']);
}, 900_000);

afterAll(async () => {
  for (const object of ['deployment/slow', 'esub/slow', 'configmap/slow', 'secret/slow-publisher'])
    await shop.kubectl(['delete', object, ...inShop, '--ignore-not-found', '--timeout=60s']);
  await operator({});
}, 600_000);

async function operator(more: object): Promise<void> {
  await shop.helm(
    ['upgrade', 'warren', 'charts/warren', '--namespace', SYSTEM, '--wait', '--timeout=5m', '--reset-values'],
    { ...values.warren, ...more },
  );
}

let publishers = 0;

/** Resolves when the broker has confirmed all of them. */
async function publish(count: number, body = 'work'): Promise<void> {
  publishers += 1;
  const name = `slow-publisher-${publishers}`;
  // Only an administrator may put something into a queue; the shop has no such credentials.
  const found = await shop.kubectl(['get', 'secret/rabbitmq', '--namespace', SYSTEM, '--output=json']);
  const { data } = JSON.parse(found) as { data: Record<string, string> };
  const secret = { name: 'slow-publisher', namespace: SHOP };
  await shop.apply({ apiVersion: 'v1', kind: 'Secret', metadata: secret, data: { uri: data['uri'] } });
  const uri = [{ name: 'URI', valueFrom: { secretKeyRef: { name: secret.name, key: 'uri' } } }];
  await shop.apply(restrictedPod(name, slow([String(count), body], uri), { volumes }));
  const succeeded = ['--for=jsonpath={.status.phase}=Succeeded', '--timeout=120s'];
  await shop.kubectl(['wait', `pod/${name}`, ...inShop, ...succeeded]);
  await shop.kubectl(['delete', `pod/${name}`, ...inShop, '--now']);
}

/** What the operator says of it. */
async function said(): Promise<{ reason: string; status: string; desired: number | undefined }> {
  const { status } = JSON.parse(await shop.kubectl(['get', 'esub/slow', ...inShop, '--output=json'])) as {
    status?: {
      replicas?: { desired?: number };
      conditions?: { type: string; reason: string; status: string }[];
    };
  };
  const scaling = status?.conditions?.find(({ type }) => type === 'Scaling');
  return {
    reason: scaling?.reason ?? '',
    status: scaling?.status ?? '',
    desired: status?.replicas?.desired,
  };
}

/** Wanted of the Deployment, and ready. */
async function replicas(): Promise<{ wanted: number; ready: number }> {
  const { spec, status } = JSON.parse(
    await shop.kubectl(['get', 'deployment/slow', ...inShop, '--output=json']),
  ) as { spec: { replicas: number }; status: { readyReplicas?: number } };
  return { wanted: spec.replicas, ready: status.readyReplicas ?? 0 };
}

/** What the broker itself has counted. Its endpoint needs no password. */
async function counted(): Promise<{ messages: number; acked: number; redelivered: number; dead: number }> {
  const families = 'family=queue_coarse_metrics&family=queue_delivery_metrics';
  const path = `/api/v1/namespaces/${SYSTEM}/services/rabbitmq:15692/proxy/metrics/detailed?${families}`;
  const text = await shop.kubectl(['get', '--raw', path]);
  const number = (metric: string, queue = `${SHOP}.slow`) => {
    const line = text
      .split('\n')
      .find((one) => one.startsWith(`rabbitmq_detailed_${metric}{`) && one.includes(`queue="${queue}"`));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  return {
    messages: number('queue_messages'),
    acked: number('queue_messages_acked_total'),
    redelivered: number('queue_messages_redelivered_total'),
    dead: number('queue_messages', `${SHOP}.slow.dead`),
  };
}

const often = { intervalMs: 2_000 };

test('a backlog of slow events scales out in a minute, is drained in about the time asked for, and leaves nobody', async () => {
  const samples: Sample[] = [];
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1_000;
  const sample = async () => {
    const [{ ready, wanted }, numbers] = [await replicas(), await counted()];
    samples.push({ at: Math.round(seconds()), backlog: numbers.messages, replicas: ready });
    return { ready, wanted, ...numbers };
  };
  const publishing = publish(BACKLOG);
  await eventually(async () => (await sample()).ready > 1, { ...often, timeoutMs: 120_000 });
  const outAfter = seconds();
  await publishing;
  await eventually(async () => (await sample()).acked >= BACKLOG, { ...often, timeoutMs: 400_000 });
  const drainedAfter = seconds();
  await eventually(async () => (await sample()).wanted === 0, { ...often, timeoutMs: 400_000 });
  const emptyAfter = seconds();
  const most = Math.max(...samples.map((one) => one.replicas));
  console.log(JSON.stringify({ outAfter, drainedAfter, emptyAfter, most }));
  if (process.env['WARREN_PICTURES'] === 'true') {
    await mkdir(join(root, 'docs/pictures'), { recursive: true });
    const title = `${BACKLOG} events at ${(1_000 / WORK_MS) * PREFETCH} a second for each replica, drainWithin ${DRAIN_WITHIN_S}s`;
    await writeFile(join(root, 'docs/pictures/scaling.svg'), picture(title, samples));
  }
  expect(outAfter).toBeLessThan(60);
  // Publishing, noticing, measuring and starting pods come on top.
  expect(drainedAfter).toBeLessThan(2 * DRAIN_WITHIN_S + 60);
  // None was lost, and whoever was scaled in had finished: none was delivered a second time.
  expect(await counted()).toMatchObject({ messages: 0, acked: BACKLOG, redelivered: 0, dead: 0 });
}, 1_200_000);

test('from zero one message wakes one, and a poison loop gets no more', async () => {
  await eventually(async () => (await replicas()).wanted === 0, { ...often, timeoutMs: 300_000 });
  const before = (await counted()).redelivered;
  await publish(1, 'fail');
  await eventually(async () => (await counted()).redelivered > before, { ...often, timeoutMs: 120_000 });
  expect(await replicas()).toEqual({ wanted: 1, ready: 1 });
  await publish(POISON, 'fail');
  const wanted = new Set<number>();
  const tried = async () => {
    wanted.add((await replicas()).wanted);
    return (await counted()).redelivered - before;
  };
  await eventually(async () => (await said()).reason === 'Retrying', { ...often, timeoutMs: 120_000 });
  const atFirst = await tried();
  // Half a minute of one replica's work.
  await eventually(async () => (await tried()) > atFirst + 2_000, { ...often, timeoutMs: 180_000 });
  expect([...wanted]).toEqual([1]);
}, 600_000);

test('while the broker tells nothing, the replicas stay as they are', async () => {
  await eventually(async () => (await replicas()).wanted === 1, { ...often, timeoutMs: 120_000 });
  const broker = (count: number) =>
    shop.kubectl(['scale', 'statefulset/rabbitmq', '--namespace', SYSTEM, `--replicas=${count}`]);
  const autoscaler = async () => {
    const path = '--output=jsonpath={.status.conditions[?(@.type=="ScalingActive")].status}';
    return shop.kubectl(['get', 'hpa/slow-scaling', ...inShop, path]);
  };
  await broker(0);
  try {
    await eventually(async () => (await said()).reason === 'StatisticsMissing', {
      ...often,
      timeoutMs: 180_000,
    });
    expect(await said()).toEqual({ reason: 'StatisticsMissing', status: 'Unknown', desired: undefined });
    // The autoscaler is told nothing either, and then it does nothing.
    await eventually(async () => (await autoscaler()) === 'False', { ...often, timeoutMs: 60_000 });
    expect((await replicas()).wanted).toBe(1);
  } finally {
    await broker(1);
    await shop.settled();
  }
  await eventually(async () => (await said()).status === 'True', { ...often, timeoutMs: 180_000 });
}, 900_000);
