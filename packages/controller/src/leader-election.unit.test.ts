import { describe, expect, test } from '@jest/globals';
import { aborted } from './clock.ts';
import { createLeaderElector, microTime } from './leader-election.ts';
import type { ElectionEnd } from './leader-election.ts';
import { LeaseServer } from './testing/lease-server.ts';
import { settle, VirtualClock } from './testing/virtual-clock.ts';

interface Own {
  clock?: VirtualClock;
  finish?: Promise<unknown>;
  /** How `lead` ends; default: with nothing left running. */
  leave?: () => { clean: boolean };
}

function setup() {
  const clock = new VirtualClock();
  const server = new LeaseServer();
  const leading = new Set<string>();
  let most = 0;
  /** A process that competes, and leads until it is told to stop. */
  const compete = (identity: string, own: Own = {}) => {
    const stop = new AbortController();
    const seen: string[] = [];
    const elector = createLeaderElector({
      cluster: server.cluster(identity),
      namespace: 'ops',
      name: 'operator',
      identity,
      clock: own.clock ?? clock,
      onNewLeader: (leader) => seen.push(leader),
    });
    let reason: unknown;
    let lost: AbortSignal | undefined;
    let end: ElectionEnd | undefined;
    const ended = elector
      .run({
        signal: stop.signal,
        lead: async (signal, lostSignal) => {
          lost = lostSignal;
          leading.add(identity);
          most = Math.max(most, leading.size);
          await aborted(signal);
          reason = signal.reason;
          await Promise.race([own.finish, aborted(lost)]);
          leading.delete(identity);
          return own.leave?.() ?? { clean: true };
        },
      })
      .then((how) => (end = how));
    return {
      elector,
      stop: () => stop.abort(),
      ended,
      seen,
      reason: () => reason as { code: string },
      lost: () => lost?.reason as { code: string } | undefined,
      end: () => end,
    };
  };
  return { clock, server, compete, leading, most: () => most };
}

/** The same, where `a` came first and leads. */
async function led(own?: Own) {
  const t = setup();
  const a = t.compete('a', own);
  await t.clock.advance(1000);
  return { ...t, a };
}

describe('leader election', () => {
  test('makes one of many the leader, and renews every 2 s', async () => {
    const t = setup();
    const all = ['a', 'b', 'c'].map((identity) => t.compete(identity));
    await t.clock.advance(60_000);
    expect(t.most()).toBe(1);
    const [leader] = t.leading;
    expect(all.map(({ elector }) => elector.leader)).toEqual([leader, leader, leader]);
    expect(all.filter(({ elector }) => elector.isLeader)).toHaveLength(1);
    expect(all.map(({ seen }) => seen)).toEqual([[leader], [leader], [leader]]);
    const before = t.server.writes;
    await t.clock.advance(20_000);
    expect(t.server.writes - before).toBe(10);
    for (const one of all) one.stop();
    await t.clock.advance(5000);
    await Promise.all(all.map(({ ended }) => ended));
    expect(t.clock.pending).toBe(0);
  });

  test('releases on stop, so that the next one leads within seconds and counts a transition', async () => {
    const { a, ...t } = await led();
    const b = t.compete('b');
    await t.clock.advance(10_000);
    a.stop();
    await settle();
    expect(a.end()).toBe('stopped');
    expect(a.reason().code).toBe('WARREN_CONTROLLER_STOPPED');
    expect(t.server.lease?.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
    await t.clock.advance(4500);
    expect([...t.leading]).toEqual(['b']);
    expect(t.server.lease?.spec.leaseTransitions).toBe(1);
    b.stop();
    await settle();
    expect(t.most()).toBe(1);
    expect(t.clock.pending).toBe(0);
  });

  test('keeps the lease until what the leader does has ended', async () => {
    const { promise: finish, resolve: end } = Promise.withResolvers<undefined>();
    const { a, ...t } = await led({ finish });
    const b = t.compete('b');
    a.stop();
    await t.clock.advance(60_000);
    expect([...t.leading]).toEqual(['a']);
    end(undefined);
    await t.clock.advance(5000);
    expect([...t.leading]).toEqual(['b']);
    expect(t.most()).toBe(1);
    b.stop();
    await settle();
  });

  test.each<[string, () => { clean: boolean }]>([
    ['has left something running', () => ({ clean: false })],
    [
      'failed',
      () => {
        throw new Error('on purpose');
      },
    ],
  ])('lets the lease expire when what the leader does %s', async (_, leave) => {
    const { a, ...t } = await led({ leave });
    const b = t.compete('b');
    a.ended.catch(() => undefined);
    a.stop();
    await t.clock.advance(14_000);
    expect(t.server.lease?.spec.holderIdentity).toBe('a');
    expect([...t.leading]).toEqual([]);
    expect(a.elector.isLeader).toBe(false);
    await t.clock.advance(6000);
    expect([...t.leading]).toEqual(['b']);
    b.stop();
    await settle();
    expect(t.clock.pending).toBe(0);
  });

  test('a leader that is cut off has lost before anybody else leads', async () => {
    const { a, ...t } = await led();
    const b = t.compete('b');
    await t.clock.advance(5000);
    t.server.cutOff.add('a');
    await t.clock.advance(7900);
    expect([...t.leading]).toEqual(['a']);
    await t.clock.advance(2200);
    expect([...t.leading]).toEqual([]);
    expect(a.end()).toBe('lost');
    expect(a.reason().code).toBe('WARREN_CONTROLLER_LEADERSHIP_LOST');
    expect(a.elector.isLeader).toBe(false);
    await t.clock.advance(12_000);
    expect([...t.leading]).toEqual(['b']);
    expect(t.most()).toBe(1);
    b.stop();
    await settle();
    expect(t.clock.pending).toBe(0);
  });

  test('a leader whose requests never end has lost before anybody else leads', async () => {
    const { a, ...t } = await led();
    const b = t.compete('b');
    await t.clock.advance(5000);
    t.server.unanswered.add('a');
    await t.clock.advance(10_100);
    expect(a.end()).toBe('lost');
    await t.clock.advance(15_000);
    expect([...t.leading]).toEqual(['b']);
    expect(t.most()).toBe(1);
    b.stop();
    await settle();
    expect(t.clock.pending).toBe(0);
  });

  test('a leader that is cut off while it stops in order is told, and has lost, before anybody else leads', async () => {
    const { a, ...t } = await led({ finish: new Promise(() => undefined) });
    const b = t.compete('b');
    a.stop();
    await t.clock.advance(5000);
    expect(a.lost()).toBeUndefined();
    t.server.cutOff.add('a');
    await t.clock.advance(10_100);
    expect(a.lost()?.code).toBe('WARREN_CONTROLLER_LEADERSHIP_LOST');
    expect(a.reason().code).toBe('WARREN_CONTROLLER_STOPPED');
    expect(a.end()).toBe('lost');
    expect([...t.leading]).toEqual([]);
    await t.clock.advance(15_000);
    expect([...t.leading]).toEqual(['b']);
    expect(t.most()).toBe(1);
    b.stop();
    await settle();
    expect(t.clock.pending).toBe(0);
  });

  test('a leader survives an API server that is away for less than 10 s', async () => {
    const { a, ...t } = await led();
    const b = t.compete('b');
    await t.clock.advance(3000);
    t.server.cutOff.add('a');
    await t.clock.advance(7000);
    t.server.cutOff.delete('a');
    await t.clock.advance(60_000);
    expect([...t.leading]).toEqual(['a']);
    a.stop();
    b.stop();
    await t.clock.advance(5000);
    expect(t.most()).toBe(1);
  });

  test('a wall clock that jumps, or is wrong by a day, changes nothing', async () => {
    const t = setup();
    const wrong = new VirtualClock(new Date('2030-01-01T00:00:00Z'));
    const a = t.compete('a');
    await t.clock.advance(1000);
    const b = t.compete('b', { clock: wrong });
    for (const jump of [86_400_000, -2 * 86_400_000, 3_600_000]) {
      t.clock.jumpWallClock(jump);
      for (let i = 0; i < 30; i += 1) {
        await t.clock.advance(1000);
        await wrong.advance(1000);
      }
    }
    expect([...t.leading]).toEqual(['a']);
    expect(b.elector.leader).toBe('a');
    a.stop();
    b.stop();
    await t.clock.advance(5000);
    await wrong.advance(5000);
    expect(t.most()).toBe(1);
  });

  test('a leader that sees another holder has lost at once', async () => {
    const { a, ...t } = await led();
    const lease = t.server.lease!;
    t.server.lease = {
      metadata: { ...lease.metadata, resourceVersion: '999' },
      spec: { ...lease.spec, holderIdentity: 'thief' },
    };
    await t.clock.advance(2000);
    expect(a.end()).toBe('lost');
    expect(t.server.lease.spec.holderIdentity).toBe('thief');
    expect(t.clock.pending).toBe(0);
  });

  test('a leader whose lease is deleted makes it again', async () => {
    const { a, ...t } = await led();
    t.server.lease = undefined;
    await t.clock.advance(4000);
    expect(a.end()).toBeUndefined();
    expect(t.server.lease).toMatchObject({ spec: { holderIdentity: 'a' } });
    a.stop();
    await settle();
  });

  test('a process that comes back under its own name goes on with its lease', async () => {
    const { a, ...t } = await led();
    t.server.cutOff.add('a');
    await t.clock.advance(11_000);
    expect(a.end()).toBe('lost');
    t.server.cutOff.delete('a');
    const again = t.compete('a');
    await settle();
    expect([...t.leading]).toEqual(['a']);
    expect(t.server.lease?.spec.leaseTransitions).toBe(0);
    again.stop();
    await settle();
  });

  test('a change of the labels of the lease prolongs nothing', async () => {
    const { a, ...t } = await led();
    const b = t.compete('b');
    await t.clock.advance(3000);
    t.server.cutOff.add('a');
    for (let i = 0; i < 22; i += 1) {
      await t.clock.advance(1000);
      if (t.server.lease!.spec.holderIdentity === 'a') {
        t.server.lease!.metadata.labels = { touched: String(i) };
        t.server.lease!.metadata.resourceVersion = `9${i}`;
      }
    }
    expect([...t.leading]).toEqual(['b']);
    await a.ended;
    b.stop();
    await settle();
  });

  test('refuses times that would let two lead', () => {
    const options = { cluster: new LeaseServer().cluster('a'), namespace: 'n', name: 'n', identity: 'a' };
    expect(() => createLeaderElector({ ...options, renewDeadlineMs: 15_000 })).toThrow(RangeError);
    expect(() => createLeaderElector({ ...options, retryPeriodMs: 9000 })).toThrow(RangeError);
    expect(() => createLeaderElector({ ...options, identity: '' })).toThrow(RangeError);
  });

  test('writes times with six decimals', () => {
    expect(microTime(new Date('2026-02-03T04:05:06.789Z'))).toBe('2026-02-03T04:05:06.789000Z');
  });
});
