import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { plainSpec } from '@warren/topology/testing';
import { demandOf, limitsOf } from './demand.ts';
import type { Demand, Limits } from './demand.ts';
import { NOTHING_SEEN, observe } from './observation.ts';
import type { History, Observation } from './observation.ts';

const limits: Limits = { min: 1, max: 20, drainWithinSeconds: 30 };
const PREFETCH = 10;
const quiet: Observation = {
  ...{ at: 0, ready: 0, unacked: 0, delayed: 0 },
  ...{ acked: 0, retried: 0, consumers: 1, replicas: 1 },
};

/** One observation each 5 s, each with what changed since the one before. */
function seen(...changes: Partial<Observation>[]): History {
  let now = quiet;
  let history = observe(NOTHING_SEEN, now);
  for (const change of changes) {
    now = { ...now, at: now.at + 5_000, ...change };
    history = observe(history, now);
  }
  return history;
}

/** One replica that gets 10 messages a second done, with more of them waiting. */
const measured = (last: Partial<Observation>) =>
  seen(
    { ready: 10_000, unacked: 50 },
    { ready: 9_950, acked: 50 },
    { ready: 9_900, acked: 100 },
    { ready: 9_850, acked: 150 },
    { acked: 200, ...last },
  );
const minutes = (change: Partial<Observation> = {}) => Array.from({ length: 13 }, () => change);

/** A queue, and a workload that follows the demand as an engine does. */
function simulate(
  world: { rate: number; arrivals: number; burst: number; limits: Limits; prefetch?: number },
  steps: number,
): { replicas: number; backlog: number; demand: Demand }[] {
  const { rate, arrivals, burst, prefetch = PREFETCH } = world;
  let backlog = burst;
  let acked = 0;
  let replicas = Math.max(1, world.limits.min);
  let history = NOTHING_SEEN;
  return Array.from({ length: steps }, (_, step) => {
    const done = Math.min(backlog + arrivals * 5, replicas * rate * 5);
    backlog += arrivals * 5 - done;
    acked += done;
    const unacked = Math.min(backlog, replicas * prefetch);
    const ready = backlog - unacked;
    history = observe(history, {
      ...{ at: (step + 1) * 5_000, ready, unacked, delayed: 0, acked, retried: 0 },
      ...{ consumers: replicas, replicas },
    });
    const demand = demandOf(history, world.limits);
    replicas = demand.replicas ?? replicas;
    return { replicas, backlog, demand };
  });
}

const worlds = fc.record({
  rate: fc.double({ min: 0.5, max: 500, noNaN: true }),
  share: fc.double({ min: 0, max: 0.8, noNaN: true }),
  /** What all replicas together do in so many seconds. */
  burstSeconds: fc.integer({ min: 0, max: 300 }),
  max: fc.integer({ min: 1, max: 50 }),
  drainWithinSeconds: fc.integer({ min: 5, max: 600 }),
});
type World = typeof worlds extends fc.Arbitrary<infer W> ? W : never;
const worldOf = ({ rate, share, burstSeconds, max, drainWithinSeconds }: World) => ({
  rate,
  arrivals: rate * max * share,
  burst: Math.round(rate * max * burstSeconds),
  limits: { min: 1, max, drainWithinSeconds },
});

const anyObservation = fc.record({
  ready: fc.nat(100_000),
  unacked: fc.nat(10_000),
  delayed: fc.nat(10_000),
  acked: fc.nat(1_000),
  retried: fc.nat(1_000),
  consumers: fc.nat(20),
  replicas: fc.nat(20),
});
const anyHistory = fc.array(anyObservation, { minLength: 1, maxLength: 30 }).map((all) => {
  let [acked, retried] = [0, 0];
  return all.reduce<History>((history, one, index) => {
    acked += one.acked;
    retried += one.retried;
    return observe(history, { ...one, acked, retried, at: index * 5_000 });
  }, NOTHING_SEEN);
});
const anyLimits = fc
  .record({ min: fc.nat(5), more: fc.nat(20), drainWithinSeconds: fc.integer({ min: 1, max: 3_600 }) })
  .map(({ min, more, drainWithinSeconds }) => ({ min, max: Math.max(1, min + more), drainWithinSeconds }));

test('a backlog asks for as many replicas as handle it in time, at the rate that was measured', () => {
  // 8,950 + 50 messages in 30 s are 300 a second, of which each replica handles 10.
  expect(demandOf(measured({ ready: 8_950 }), limits)).toMatchObject({ replicas: 20, reason: 'Demand' });
  expect(demandOf(measured({ ready: 2_950 }), limits)).toEqual({
    replicas: 10,
    reason: 'Demand',
    message:
      '10 replicas: 3000 messages to handle within 30 s and 0 a second more, at 10 a second for each replica',
  });
  expect(demandOf(measured({ ready: 250, delayed: 600 }), limits)).toMatchObject({ replicas: 3 });
});

test('whatever was seen, the number is within its bounds, and never none while something waits', () => {
  fc.assert(
    fc.property(anyHistory, anyLimits, (history, bounds) => {
      const { replicas } = demandOf(history, bounds);
      expect(replicas).toBeGreaterThanOrEqual(bounds.min);
      expect(replicas).toBeLessThanOrEqual(bounds.max);
      const { ready = 0, unacked = 0, delayed = 0 } = history.last ?? {};
      if (ready + unacked + delayed > 0) expect(replicas).toBeGreaterThanOrEqual(1);
    }),
  );
});

test('more that waits never asks for fewer replicas', () => {
  fc.assert(
    fc.property(anyHistory, anyLimits, fc.nat(10_000), (history, bounds, more) => {
      const { last } = history;
      // Without a consumer, or with messages going round, more messages change nothing.
      fc.pre(last !== undefined && last.ready > 0);
      const fuller = { ...history, last: { ...last, ready: last.ready + more } };
      expect(demandOf(fuller, bounds).replicas).toBeGreaterThanOrEqual(
        demandOf(history, bounds).replicas ?? 0,
      );
    }),
  );
});

test('messages that go round never raise the number', () => {
  fc.assert(
    fc.property(anyHistory, anyLimits, (history, bounds) => {
      const looping = {
        ...history,
        recent: history.recent.map((window) => ({ ...window, retried: window.acked + 1 })),
      };
      fc.pre(looping.recent.length > 0);
      const { replicas = 0 } = demandOf(looping, bounds);
      expect(replicas).toBeLessThanOrEqual(Math.max(1, bounds.min, history.last?.replicas ?? 0));
    }),
  );
  const retried = (at: number) => ({ ready: 500, delayed: 400, retried: at });
  expect(demandOf(seen(retried(10), retried(30), retried(50), retried(70)), limits)).toMatchObject({
    replicas: 1,
    reason: 'Measuring',
  });
  const known = measured({ ready: 9_000, retried: 1_000 });
  expect(demandOf(known, limits)).toMatchObject({ replicas: 1, reason: 'Retrying' });
});

test('under a steady load it settles, keeps up, and does not swing', () => {
  fc.assert(
    fc.property(worlds, (drawn) => {
      const world = worldOf(drawn);
      const story = simulate(world, 600);
      const settled = story.slice(-60);
      const numbers = new Set(settled.map(({ replicas }) => replicas));
      expect(numbers.size).toBe(1);
      const { backlog, replicas } = settled.at(-1) ?? { backlog: Infinity, replicas: 0 };
      expect(replicas).toBeLessThanOrEqual(world.limits.max);
      // What waits is handled in time, but for what a full house cannot do.
      const atMost =
        Math.max(world.arrivals, world.rate) * world.limits.drainWithinSeconds + world.arrivals * 5;
      // What replicas have in hand does not wait, and while none waits nothing is measured.
      expect(backlog).toBeLessThanOrEqual(atMost + PREFETCH * replicas + 1);
    }),
    { numRuns: 60 },
  );
});

test('a burst is gone in about the time asked for, once there is a measure', () => {
  const story = simulate({ rate: 10, arrivals: 0, burst: 6_000, limits: { ...limits, max: 100 } }, 40);
  const began = story.findIndex(({ demand }) => demand.reason === 'Demand');
  expect(began).toBeLessThanOrEqual(3);
  // An engine keeps the highest number of a while (behaviour.ts); here every smaller number is taken at once.
  expect(Math.max(...story.map(({ replicas }) => replicas))).toBeGreaterThanOrEqual(18);
  expect(story[began + 12]?.backlog).toBeLessThan(6_000 * 0.15);
});

test('nothing for a minute is the only reason for the minimum, be it zero', () => {
  const toZero = { ...limits, min: 0 };
  expect(demandOf(seen({ replicas: 3, consumers: 3 }), toZero)).toMatchObject({ replicas: 3 });
  expect(demandOf(seen(...minutes({ replicas: 3 })), toZero)).toMatchObject({ replicas: 0, reason: 'Idle' });
  expect(demandOf(seen(...minutes({ replicas: 3 })), limits)).toMatchObject({ replicas: 1, reason: 'Idle' });
  expect(demandOf(seen(...minutes(), { acked: 1 }), toZero)).toMatchObject({ replicas: 1 });
  expect(demandOf(seen(...minutes(), { unacked: 1 }), toZero)).toMatchObject({ replicas: 1 });
  expect(demandOf(seen(...minutes(), { delayed: 1 }), toZero)).toMatchObject({ replicas: 1 });
});

test('from zero, one message wakes one replica, and a known rate as many as are needed', () => {
  const asleep = { replicas: 0, consumers: 0 };
  expect(demandOf(seen(asleep, { ready: 1 }), limits)).toMatchObject({ replicas: 1, reason: 'Waking' });
  expect(demandOf(seen(asleep), { ...limits, min: 0 })).toMatchObject({ replicas: 0, reason: 'Idle' });
  expect(demandOf(measured({ ...asleep, unacked: 0, ready: 3_000 }), limits)).toMatchObject({ replicas: 10 });
});

test('replicas that do not consume are not joined by more', () => {
  expect(demandOf(measured({ consumers: 0, replicas: 2, ready: 9_000 }), limits)).toMatchObject({
    replicas: 2,
    reason: 'NotConsuming',
  });
});

test('where nothing ever waited, fewer are tried one by one', () => {
  const light = Array.from({ length: 14 }, (_, index) => ({
    ...{ replicas: 5, consumers: 5, acked: index * 10, unacked: 1 },
  }));
  expect(demandOf(seen(...light), limits)).toMatchObject({ replicas: 4, reason: 'Measuring' });
});

test('consumers that the broker counts late do not make the others look faster', () => {
  const done = (acked: number) => ({ ready: 3_750 - acked, unacked: 50, acked });
  const history = seen(
    ...[0, 50, 100, 150].map(done),
    { replicas: 4, ...done(200) },
    // All four are at work here, and one is counted.
    done(400),
    { consumers: 4, ...done(600) },
    done(800),
  );
  expect(demandOf(history, limits)).toMatchObject({ replicas: 10, reason: 'Demand' });
});

test('a counter that starts anew is no news', () => {
  const history = measured({ ready: 2_950 });
  const after = observe(history, { ...quiet, at: 30_000, ready: 2_950, unacked: 50, acked: 3 });
  expect(demandOf(after, limits)).toMatchObject({ replicas: 10, reason: 'Demand' });
});

test('Strict means one, PerKey at most its partitions, and standbys of the user stay', () => {
  const scaling = { minReplicas: 0, maxReplicas: 10, drainWithin: '1m', engine: 'Auto' } as const;
  const spec = { ...plainSpec, scaling };
  const ordered = (ordering: 'Strict' | 'PerKey', partitions?: number) => ({
    ...spec,
    delivery: { ...spec.delivery, ordering, ...(partitions === undefined ? {} : { partitions }) },
  });
  expect(limitsOf(plainSpec)).toBeUndefined();
  expect(limitsOf(spec)).toEqual({ min: 0, max: 10, drainWithinSeconds: 60 });
  expect(limitsOf(ordered('Strict'))).toMatchObject({ max: 1, boundBy: 'Strict' });
  expect(limitsOf(ordered('PerKey', 4))).toMatchObject({ max: 4, boundBy: 'Partitions' });
  expect(limitsOf({ ...ordered('Strict'), scaling: { ...scaling, minReplicas: 2 } })).toMatchObject({
    min: 2,
    max: 2,
  });
});
