import { describe, expect, test } from '@jest/globals';
import type { SubscriptionResource, SubscriptionStatus } from '../resources.ts';
import { followed } from '../scaling/state.ts';
import { appliedGenerationOf, isSaidInSync, listed, statusOf, wasInSync } from './status.ts';
import type { Findings, Verdict } from './status.ts';
import { storyOf } from './story.ts';

const names = { queue: 'shop.a', deadLetterQueue: 'shop.a.dead' };
const counts = { ready: 1, unacked: 2, deadLetters: 0, consumers: 3 };
const earlier = '2026-01-01T00:00:00.000Z';
const later = '2026-01-02T00:00:00.000Z';

const resource = (status?: SubscriptionStatus, generation = 1): SubscriptionResource =>
  ({
    metadata: { name: 'a', namespace: 'shop', generation },
    spec: { events: ['OrderPlaced'] },
    ...(status === undefined ? {} : { status }),
  }) as unknown as SubscriptionResource;

const findings = (verdict: Verdict, more: Partial<Findings> = {}): Findings => ({
  verdict,
  names,
  takes: 'order.placed',
  retryMode: 'broker',
  counts,
  binding: 'a-binding',
  ...more,
});

const ready = statusOf(resource(), findings({ verdict: 'inSync' }), earlier);
const reasonOf = (status: SubscriptionStatus, type: string) =>
  status.conditions?.find((one) => one.type === type)?.reason;

test('equal findings give an equal status, whenever they are made', () => {
  expect(statusOf(resource(ready), findings({ verdict: 'inSync' }), later)).toEqual(ready);
});

test('counts that are not known leave the last known ones, and are not zero', () => {
  const { counts: _unknown, ...uncounted } = findings({ verdict: 'inSync' });
  expect(statusOf(resource(ready), uncounted, later)).toEqual(ready);
  const first = statusOf(resource(), uncounted, later);
  expect(first.messages).toBeUndefined();
  expect(reasonOf(first, 'DeadLetters')).toBe('NotCounted');
});

test('dead letters are a condition that does not change with their number', () => {
  const some = statusOf(
    resource(ready),
    findings({ verdict: 'inSync' }, { counts: { ...counts, deadLetters: 3 } }),
    later,
  );
  const more = statusOf(
    resource(some),
    findings({ verdict: 'inSync' }, { counts: { ...counts, deadLetters: 4 } }),
    later,
  );
  expect(reasonOf(some, 'DeadLetters')).toBe('Waiting');
  expect(more.conditions).toEqual(some.conditions);
  expect(more.messages?.deadLetters).toBe(4);
});

const verdicts: [Verdict, string, 'False' | 'Unknown'][] = [
  [{ verdict: 'drifted', differences: ['x'], policy: 'Report' }, 'Drifted', 'False'],
  [{ verdict: 'drifted', differences: ['x'], policy: 'Repair' }, 'Drifted', 'False'],
  [{ verdict: 'blocked', differences: ['x'] }, 'MigrationNeeded', 'False'],
  [{ verdict: 'conflict', message: 'x' }, 'Conflict', 'False'],
  [{ verdict: 'waiting', reason: 'BrokerUnavailable', message: 'x' }, 'BrokerUnavailable', 'Unknown'],
  [{ verdict: 'failed', reason: 'BrokerRefused', message: 'x' }, 'BrokerRefused', 'False'],
  [{ verdict: 'deleting', reason: 'MessagesLeft', message: 'x' }, 'MessagesLeft', 'False'],
  [{ verdict: 'refused', reason: 'BrokerNotFound', message: 'x' }, 'BrokerNotFound', 'False'],
];

test('while a queue is made anew it is Ready, not in sync, and what holds it up does not hide how far it was', () => {
  const migration = { queue: 'shop.loyalty', from: 'a', to: 'b', phase: 'Draining', moved: 3, remaining: 4 };
  const migrating = statusOf(resource(ready), findings({ verdict: 'migrating', migration }), later);
  const said = (type: string) => migrating.conditions?.find((one) => one.type === type);
  expect(said('Ready')).toMatchObject({ status: 'True', reason: 'Migrating' });
  expect(said('TopologyInSync')).toMatchObject({ status: 'False', reason: 'Migrating' });
  expect(migrating.migration).toEqual(migration);
  const heldUp: Verdict[] = [
    { verdict: 'waiting', reason: 'BrokerUnavailable', message: 'x' },
    { verdict: 'refused', reason: 'BrokerNotFound', message: 'x' },
  ];
  for (const verdict of heldUp)
    expect(statusOf(resource(migrating), findings(verdict), later).migration).toEqual(migration);
  expect(statusOf(resource(migrating), findings({ verdict: 'inSync' }), later).migration).toBeUndefined();
});

test.each(verdicts)('%j is not Ready, for the reason %s', (verdict, reason, inSync) => {
  const status = statusOf(resource(ready), findings(verdict), later);
  const condition = (type: string) => status.conditions?.find((one) => one.type === type);
  expect(condition('Ready')).toMatchObject({ status: 'False', reason, lastTransitionTime: later });
  expect(condition('TopologyInSync')).toMatchObject({ status: inSync, reason });
});

test.each(verdicts)('%j is told once, if the subscription has to tell it', (verdict, reason) => {
  const status = statusOf(resource(ready), findings(verdict), later);
  const story = storyOf(ready, status);
  if (reason === 'BrokerUnavailable') expect(story).toBeUndefined();
  else expect(story).toMatchObject({ type: 'Warning', reason });
  expect(storyOf(status, statusOf(resource(status), findings(verdict), later))).toBeUndefined();
});

test('Ready is told once, and what was drift is told as repaired', () => {
  expect(storyOf(undefined, ready)).toMatchObject({ type: 'Normal', reason: 'Ready' });
  expect(storyOf(ready, ready)).toBeUndefined();
  const drifted = statusOf(
    resource(ready),
    findings({ verdict: 'drifted', differences: ['x'], policy: 'Repair' }),
    later,
  );
  expect(storyOf(drifted, ready)).toMatchObject({ type: 'Normal', reason: 'Repaired' });
});

test("other people's policies leave it Ready and not in sync", () => {
  const status = statusOf(resource(ready), findings({ verdict: 'inSync', overridden: ['policy x'] }), later);
  expect(reasonOf(status, 'Ready')).toBe('Ready');
  expect(reasonOf(status, 'TopologyInSync')).toBe('PolicyOverridden');
  expect(storyOf(ready, status)).toMatchObject({ type: 'Warning', reason: 'PolicyOverridden' });
});

test('what differs is drift only where this very spec was in force', () => {
  expect(wasInSync(resource(ready))).toBe(true);
  expect(wasInSync(resource(ready, 2))).toBe(false);
  expect(wasInSync(resource())).toBe(false);
  const conflict = statusOf(resource(), findings({ verdict: 'conflict', message: 'x' }), earlier);
  expect(wasInSync(resource(conflict))).toBe(false);
});

describe('that this very spec was in force', () => {
  const drifted: Verdict = { verdict: 'drifted', differences: ['x'], policy: 'Report' };
  const reporting = (status: SubscriptionStatus, generation = 1) => {
    const one = resource(status, generation);
    Object.assign(one.spec, { driftPolicy: 'Report' });
    return one;
  };
  const after = (status: SubscriptionStatus, verdict: Verdict) =>
    statusOf(reporting(status), findings(verdict), later);
  const kept: Verdict[] = [
    { verdict: 'claimed' },
    { verdict: 'blocked', differences: ['x'] },
    { verdict: 'conflict', message: 'x' },
    { verdict: 'waiting', reason: 'BrokerUnavailable', message: 'x' },
    { verdict: 'failed', reason: 'BindingTaken', message: 'x' },
    { verdict: 'refused', reason: 'BrokerNotFound', message: 'x' },
  ];

  test.each(kept)(
    'is remembered through %j, also where it had drifted, until the spec changes',
    (verdict) => {
      for (const status of [ready, after(ready, drifted)]) {
        const then = after(after(status, verdict), verdict);
        expect(then.appliedGeneration).toBe(1);
        expect(isSaidInSync(reporting(then))).toBe(false);
        expect(wasInSync(reporting(then))).toBe(true);
        expect(wasInSync(reporting(then, 2))).toBe(false);
        expect(after(then, { verdict: 'inSync' }).appliedGeneration).toBeUndefined();
      }
    },
  );

  const migration = { queue: 'shop.a', from: 'a', to: 'b', phase: 'Draining', moved: 0 };
  const ended: Verdict[] = [
    { verdict: 'migrating', migration },
    { verdict: 'takingOver', migration },
    { verdict: 'deleting', reason: 'Deleting', message: 'x' },
  ];

  test.each(ended)('is over with %j: what is half done is no drift', (verdict) => {
    const failed = after(after(ready, verdict), { verdict: 'failed', reason: 'BrokerRefused', message: 'x' });
    expect(wasInSync(reporting(failed))).toBe(false);
  });

  test('is over when a repair begins, so that one that fails is not told as drift at every attempt', () => {
    const repairing = statusOf(
      resource(ready),
      findings({ verdict: 'drifted', differences: ['x'], policy: 'Repair' }),
      later,
    );
    expect(wasInSync(resource(repairing))).toBe(true);
    const failed = statusOf(
      resource(repairing),
      findings({ verdict: 'failed', reason: 'BrokerRefused', message: 'x' }),
      later,
    );
    expect(wasInSync(resource(failed))).toBe(false);
  });

  test('is not in the status of one in sync, which an operator before this one has written the same', () => {
    expect(ready.appliedGeneration).toBeUndefined();
    expect(appliedGenerationOf(resource(ready))).toBe(1);
    const before = after(ready, { verdict: 'failed', reason: 'BindingTaken', message: 'x' });
    delete before.appliedGeneration;
    expect(after(before, { verdict: 'failed', reason: 'BindingTaken', message: 'x' })).toEqual(before);
  });
});

test('what scaling says is in the status, and stays while it has nothing new to say', () => {
  const scaled = resource();
  Object.assign(scaled.spec, { scaling: { minReplicas: 1 } });
  const first = statusOf(scaled, findings({ verdict: 'inSync' }), earlier);
  expect(reasonOf(first, 'Scaling')).toBe('Pending');
  const demand = { replicas: 3, reason: 'Demand', message: '3 replicas: it is needed' } as const;
  const scaling = followed('Hpa', demand, 1);
  const second = statusOf(scaled, { ...findings({ verdict: 'inSync' }), scaling }, earlier);
  expect(reasonOf(second, 'Scaling')).toBe('Demand');
  expect(second.replicas).toEqual({ engine: 'Hpa', current: 1, desired: 3 });
  scaled.status = second;
  expect(statusOf(scaled, findings({ verdict: 'inSync' }), later)).toEqual(second);
  const { scaling: _, ...spec } = scaled.spec;
  const without = statusOf({ ...scaled, spec }, findings({ verdict: 'inSync' }), later);
  expect(without.replicas).toBeUndefined();
  expect(reasonOf(without, 'Scaling')).toBeUndefined();
});

test('a list of differences stays readable', () => {
  expect(listed(['a', 'b'])).toBe('a; b');
  expect(listed(['1', '2', '3', '4', '5', '6', '7'])).toBe('1; 2; 3; 4; 5; and 2 more');
});
