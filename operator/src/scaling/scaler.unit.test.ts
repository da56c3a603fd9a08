/** The API server and the broker are faked for their time: going to zero takes minutes. */
import { expect, test } from '@jest/globals';
import { ConflictError, ForbiddenError, ServerError } from '@warren/controller';
import { capabilitiesOf } from '@warren/topology';
import type { QueueActivity } from '@warren/rabbitmq';
import { plainSpec } from '@warren/topology/testing';
import type { BrokerRegistry } from '../brokers/registry.ts';
import { createLog } from '../log.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import type { Engines, ScalingCluster } from './scaling-cluster.ts';
import { Scaler } from './scaler.ts';
import { withScaling } from './state.ts';

const signal = new AbortController().signal;
const key = 'shop/loyalty';

function world({ minReplicas = 0, replicas = 1, keda = false } = {}) {
  const state = {
    now: 0,
    replicas,
    engines: { keda, tolerance: true } satisfies Engines,
    apiService: { is: 'ours' } as { is: 'ours' | 'missing' | 'unknown' },
    activity: {
      ...{ ready: 0, unacked: 0, delayed: 0, consumers: replicas },
      ...{ acked: 0, redelivered: 0, published: 0 },
    } as QueueActivity,
    broken: false,
    scaled: [] as number[],
    applied: [] as string[],
    /** Engines that were given something before. */
    there: new Set<string>(),
    refusal: undefined as Error | undefined,
    conflict: false,
    told: [] as string[],
  };
  const resource: SubscriptionResource = {
    metadata: { name: 'loyalty', namespace: 'shop', uid: '1' },
    spec: {
      ...plainSpec,
      consumer: { kind: 'Deployment', name: 'loyalty' },
      scaling: { minReplicas, maxReplicas: 10, drainWithin: '30s', engine: 'Auto' },
    },
  };
  const source = {
    mode: 'kubernetes',
    subscriptions: { get: () => resource, list: () => [resource], revision: 1, onChange: () => undefined },
    tell: (_: unknown, { type, reason }: { type: string; reason: string }) =>
      void state.told.push(`${type} ${reason}`),
  } as unknown as ResourceSource;
  const connection = {
    capabilities: capabilitiesOf('4.3.6'),
    activityOf: () =>
      state.broken
        ? Promise.reject(new Error('no answer'))
        : Promise.resolve(new Map([['shop.loyalty', state.activity]])),
  };
  const platform = {
    engines: () => Promise.resolve(state.engines),
    replicasOf: () => state.replicas,
    remove: (engine: string) => Promise.resolve(state.there.delete(engine)),
    apply: (engine: string) => {
      state.applied.push(engine);
      return state.refusal === undefined ? Promise.resolve('same') : Promise.reject(state.refusal);
    },
    scale: (_: unknown, wanted: number) => {
      if (state.conflict)
        return Promise.reject(new ConflictError('changed', { status: 409, request: 'PATCH' }));
      state.scaled.push(wanted);
      state.replicas = wanted;
      return Promise.resolve();
    },
  } as unknown as ScalingCluster;
  const start = () =>
    new Scaler({
      ...{
        source,
        platform,
        url: 'http://warren.warren-system.svc/scaling',
        log: createLog({ level: 'silent' }),
      },
      registry: { stateOf: () => ({ state: 'up', connection }) } as unknown as BrokerRegistry,
      metricsApi: {
        get apiService() {
          return state.apiService;
        },
        onApiServiceChange: () => () => undefined,
      },
      now: () => state.now,
    });
  let scaler = start();
  /** As the controllers do it, every 5 s; what is said becomes the status. */
  const pass = async (seconds: number, change: Partial<QueueActivity> = {}) => {
    Object.assign(state.activity, change);
    for (let done = 0; done < seconds; done += 5) {
      state.now += 5_000;
      await scaler.sample('default', { signal });
      await scaler.reconcile(key, { signal });
      const said = scaler.stateOf(resource);
      if (said === undefined) continue;
      const condition = { ...said.condition, lastTransitionTime: '' };
      resource.status = { conditions: [condition], ...(said.replicas ? { replicas: said.replicas } : {}) };
    }
    return resource.status;
  };
  return { state, resource, pass, scaler, restart: () => void (scaler = start()) };
}

test('to zero only after a minute without anything and a minute of that; one message wakes it at once', async () => {
  const { state, pass } = world();
  await pass(60);
  expect(state.scaled).toEqual([]);
  await pass(75);
  expect(state.scaled).toEqual([0]);
  await pass(300);
  expect(state.scaled).toEqual([0]);
  const status = await pass(5, { ready: 1, consumers: 0 });
  expect(state.scaled).toEqual([0, 1]);
  expect(status?.replicas).toMatchObject({ desired: 1 });
  expect(state.told).toEqual(['Normal ScalingIn', 'Normal ScalingOut']);
});

test('a message that came in the meantime starts the waiting anew; a workload that has changed is asked again', async () => {
  const { state, pass } = world();
  await pass(110);
  await pass(10, { acked: 1 });
  await pass(60);
  expect(state.scaled).toEqual([]);
  state.conflict = true;
  await pass(120);
  expect(state.scaled).toEqual([]);
  state.conflict = false;
  await pass(5);
  expect(state.scaled).toEqual([0]);
});

test('never to zero with another minimum, by hand included, nor while the broker does not tell', async () => {
  const one = world({ minReplicas: 1 });
  await one.pass(300);
  one.state.replicas = 0;
  await one.pass(60, { ready: 5 });
  expect(one.state.scaled).toEqual([]);

  const silent = world();
  await silent.pass(100);
  silent.state.broken = true;
  const status = await silent.pass(300);
  expect(silent.state.scaled).toEqual([]);
  expect(status).toMatchObject({
    conditions: [{ status: 'Unknown', reason: 'StatisticsMissing' }],
    replicas: { engine: 'Hpa', current: 1 },
  });
  expect(status?.replicas?.desired).toBeUndefined();
  expect(silent.state.told.at(-1)).toBe('Warning StatisticsMissing');
});

test('what cannot be written yet is asked for and told once, not round and round', async () => {
  const { state, pass, scaler, resource } = world();
  await pass(30);
  state.broken = true;
  state.now += 31_000;
  const asked: string[] = [];
  scaler.say = (one) => asked.push(one);
  for (let again = 0; again < 10; again += 1) await scaler.reconcile(key, { signal });
  expect(scaler.stateOf(resource)?.condition.reason).toBe('StatisticsMissing');
  expect(asked).toEqual([key]);
  expect(state.told).toEqual(['Warning StatisticsMissing']);
});

test('what is known of scaling goes into a status that says nothing else anew', async () => {
  const { state, pass, scaler, resource } = world();
  await pass(30);
  const before = resource.status;
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Ready',
    message: '',
    lastTransitionTime: 'then',
  } as const;
  resource.status = { ...before, queue: 'shop.loyalty', conditions: [ready, ...(before?.conditions ?? [])] };
  expect(withScaling(resource, scaler.stateOf(resource), 'now')).toBeUndefined();
  state.broken = true;
  state.now += 31_000;
  await scaler.reconcile(key, { signal });
  const after = withScaling(resource, scaler.stateOf(resource), 'now');
  expect(after).toMatchObject({
    queue: 'shop.loyalty',
    conditions: [ready, { type: 'Scaling', status: 'Unknown', reason: 'StatisticsMissing' }],
    replicas: { current: 1 },
  });
  expect(after?.replicas?.desired).toBeUndefined();
  if (after !== undefined) resource.status = after;
  expect(withScaling(resource, scaler.stateOf(resource), 'later')).toBeUndefined();
});

test('a workload at zero is woken also while nobody serves external metrics; KEDA does it by itself', async () => {
  const alone = world({ replicas: 0 });
  alone.state.apiService = { is: 'missing' };
  const status = await alone.pass(10, { ready: 3 });
  expect(alone.state.scaled).toEqual([1]);
  expect(status?.conditions?.[0]).toMatchObject({ status: 'False', reason: 'MetricsApiMissing' });

  const keda = world({ replicas: 0, keda: true });
  expect(await keda.pass(10, { ready: 3 })).toMatchObject({ replicas: { engine: 'Keda', desired: 1 } });
  expect(keda.state.scaled).toEqual([]);
  expect(new Set(keda.state.applied)).toEqual(new Set(['Keda']));
});

test('what the API server refuses is said, and asked again ever more rarely, or once something else is wanted', async () => {
  const { state, resource, pass } = world({ keda: true });
  const request = 'PATCH /apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/loyalty-scaling';
  const failed = { status: 403, request };
  state.refusal = new ForbiddenError(`${request}: 403 the webhook does not like it`, failed);
  const status = await pass(5);
  expect(status?.conditions?.[0]).toMatchObject({ status: 'False', reason: 'EngineRefused' });
  expect(status?.conditions?.[0]?.message).toMatch(
    /^the API server refuses the ScaledObject loyalty-scaling: .* does not like it$/,
  );
  expect(state.told).toEqual(['Warning EngineRefused']);
  await pass(595);
  // After 5, 10, 20 and 40 s, and then each minute.
  expect(state.applied).toHaveLength(5 + 8);
  expect(state.told).toHaveLength(1);

  state.applied.length = 0;
  if (resource.spec.scaling !== undefined) resource.spec.scaling.maxReplicas = 9;
  await pass(10);
  expect(state.applied).toHaveLength(2);
  state.refusal = undefined;
  expect(await pass(10)).toMatchObject({ conditions: [{ status: 'True' }], replicas: { engine: 'Keda' } });
});

test('an API server that fails, and does not refuse, is asked again by the controller', async () => {
  const { state, pass, scaler, resource } = world();
  state.refusal = new ServerError('503', { status: 503, request: 'PATCH' });
  await expect(pass(5)).rejects.toBe(state.refusal);
  expect(scaler.stateOf(resource)).toBeUndefined();
});

test('KEDA, which takes no second one for a workload, is given nothing while what was there before goes', async () => {
  const { state, pass, scaler } = world({ keda: true });
  for (const engine of ['Hpa', 'Keda']) {
    state.applied.length = 0;
    state.there.add(engine);
    await scaler.reconcile(key, { signal });
    expect(state.applied).toEqual([]);
    await pass(5);
    expect(state.applied).toEqual(['Keda']);
  }
});

test('after a restart what was told stays until something else is known: measured anew, idle, or nothing to measure', async () => {
  const { state, resource, pass, restart } = world({ replicas: 3 });
  state.activity.ready = 300;
  for (let acked = 0; acked <= 600; acked += 50) await pass(5, { acked, consumers: 3 });
  const told = resource.status;
  expect(told?.conditions?.[0]).toMatchObject({ status: 'True', reason: 'Demand' });
  restart();
  await pass(5);
  expect(resource.status).toEqual(told);
  // Slower than before: that is news as soon as it is measured.
  for (let acked = 610; acked <= 640; acked += 10) await pass(5, { acked });
  expect(resource.status?.conditions?.[0]).toMatchObject({ reason: 'Demand' });
  expect(resource.status?.replicas?.desired).toBeGreaterThan(told?.replicas?.desired ?? Infinity);

  // Nothing waits any more: the number goes by what is seen, when that is long enough.
  const slower = resource.status;
  restart();
  await pass(30, { ready: 0 });
  expect(resource.status).toEqual(slower);
  await pass(60);
  expect(resource.status?.conditions?.[0]).toMatchObject({ reason: 'Idle' });

  restart();
  resource.status = told ?? {};
  await pass(5, { ready: 1, consumers: 0 });
  expect(resource.status.conditions?.[0]).toMatchObject({ reason: 'NotConsuming' });

  // Of another spec nothing is kept, also when it comes after the restart.
  restart();
  resource.status = told ?? {};
  await pass(5, { ready: 1, consumers: 3 });
  expect(resource.status.conditions?.[0]).toMatchObject({ reason: 'Demand' });
  resource.metadata.generation = 2;
  await pass(5, { ready: 1, consumers: 3 });
  expect(resource.status.conditions?.[0]).toMatchObject({ reason: 'Measuring' });
});

test('that external metrics are not served here stays said while nobody has looked anew', async () => {
  const { state, resource, pass, restart } = world();
  state.apiService = { is: 'missing' };
  await pass(5);
  const told = resource.status;
  expect(told?.conditions?.[0]).toMatchObject({ reason: 'MetricsApiMissing' });
  restart();
  state.apiService = { is: 'unknown' };
  await pass(10);
  expect(resource.status).toEqual(told);
  state.apiService = { is: 'ours' };
  await pass(5);
  expect(resource.status?.conditions?.[0]).toMatchObject({ status: 'True' });
});
