import { describe, expect, test } from '@jest/globals';
import { aborted } from './clock.ts';
import { createController } from './controller.ts';
import type { ElectionEnd, LeaderElector } from './leader-election.ts';
import { LeadershipLostError, StoppedError } from './errors.ts';
import { createLeaderElector } from './leader-election.ts';
import { createManager } from './manager.ts';
import type { Source } from './source.ts';
import { LeaseServer } from './testing/lease-server.ts';
import { settle, VirtualClock } from './testing/virtual-clock.ts';

/** `deaf`: what is reconciled never ends, and does not look at its signal. */
function setup({
  synced = Promise.resolve(),
  deaf = false,
}: { synced?: Promise<void>; deaf?: boolean } = {}) {
  const clock = new VirtualClock();
  const log: string[] = [];
  const source: Source = {
    name: 'one',
    start: (enqueue) => {
      log.push('source started');
      enqueue('a');
    },
    synced,
    stop: () => {
      log.push('source stopped');
      return Promise.resolve();
    },
  };
  const controller = createController({
    name: 'test',
    sources: [source],
    clock,
    reconcile: (key, { signal }) => {
      log.push(`reconcile ${key}`);
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          log.push('aborted');
          if (!deaf) reject(signal.reason as Error);
        });
      });
    },
  });
  /** An election that the test decides. */
  let elect: () => void = () => undefined;
  let lose: () => void = () => undefined;
  const election: LeaderElector = {
    identity: 'me',
    isLeader: false,
    leader: undefined,
    run: async ({ lead, signal }) => {
      const elected = await Promise.race([
        new Promise<boolean>((resolve) => (elect = () => resolve(true))),
        new Promise<boolean>((resolve) => signal.addEventListener('abort', () => resolve(false))),
      ]);
      if (!elected) return 'stopped';
      const leading = new AbortController();
      const lost = new AbortController();
      signal.addEventListener('abort', () => leading.abort(new StoppedError('stop')));
      let how: ElectionEnd = 'stopped';
      lose = () => {
        how = 'lost';
        lost.abort(new LeadershipLostError('lost'));
        leading.abort(lost.signal.reason);
      };
      const { clean } = await lead(leading.signal, lost.signal);
      if (clean) log.push('released');
      return how;
    },
  };
  return { clock, log, controller, election, elect: () => elect(), lose: () => lose() };
}

describe('the manager', () => {
  test('on a standby lists but does not work, and is ready', async () => {
    const t = setup();
    const stop = new AbortController();
    const manager = createManager({ controllers: [t.controller], election: t.election });
    const running = manager.run(stop.signal);
    await settle();
    expect(t.log).toEqual(['source started']);
    expect(manager.synced).toBe(true);
    stop.abort();
    await running;
    expect(t.log).toEqual(['source started', 'source stopped']);
    expect(t.clock.pending).toBe(0);
  });

  test('works once it leads, and releases the lease after its work has ended', async () => {
    const t = setup();
    const stop = new AbortController();
    const running = createManager({
      controllers: [t.controller],
      election: t.election,
      shutdownDeadlineMs: 1000,
    }).run(stop.signal);
    await settle();
    t.elect();
    await settle();
    expect(t.log).toEqual(['source started', 'reconcile a']);
    stop.abort();
    await t.clock.advance(1000);
    await running;
    expect(t.log).toEqual(['source started', 'reconcile a', 'source stopped', 'aborted', 'released']);
    expect(t.clock.pending).toBe(0);
  });

  test('leaves the lease to expire when a reconcile outlives the shutdown', async () => {
    const t = setup({ deaf: true });
    const server = new LeaseServer();
    const elector = (identity: string) =>
      createLeaderElector({
        cluster: server.cluster(identity),
        namespace: 'ops',
        name: 'operator',
        identity,
        clock: t.clock,
      });
    const stop = new AbortController();
    const manager = createManager({
      controllers: [t.controller],
      election: elector('a'),
      shutdownDeadlineMs: 1000,
    });
    const running = manager.run(stop.signal);
    await settle();
    expect(t.log).toContain('reconcile a');
    stop.abort();
    await t.clock.advance(1000);
    await running;
    const next = elector('b');
    const over = new AbortController();
    const lead = async (signal: AbortSignal) => aborted(signal).then(() => ({ clean: true }));
    const following = next.run({ lead, signal: over.signal });
    await t.clock.advance(14_000);
    expect(server.lease?.spec.holderIdentity).toBe('a');
    expect(next.isLeader).toBe(false);
    await t.clock.advance(6000);
    expect(next.isLeader).toBe(true);
    over.abort();
    await following;
    expect(t.clock.pending).toBe(0);
  });

  test('drops everything at once when the leadership is lost, and fails', async () => {
    const t = setup();
    const running = createManager({ controllers: [t.controller], election: t.election }).run(
      new AbortController().signal,
    );
    const failing = expect(running).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_LEADERSHIP_LOST' });
    await settle();
    t.elect();
    await settle();
    t.lose();
    await settle();
    await failing;
    expect(t.log).toContain('aborted');
    expect(t.clock.pending).toBe(0);
  });

  test('drops everything at once when the leadership is lost while it stops in order', async () => {
    const t = setup();
    const stop = new AbortController();
    const running = createManager({ controllers: [t.controller], election: t.election }).run(stop.signal);
    const failing = expect(running).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_LEADERSHIP_LOST' });
    await settle();
    t.elect();
    await settle();
    stop.abort();
    await t.clock.advance(1000);
    expect(t.log).not.toContain('aborted');
    t.lose();
    await settle();
    await failing;
    expect(t.log.slice(-2)).toEqual(['aborted', 'released']);
    expect(t.clock.pending).toBe(0);
  });

  test('waits 2 s, and not the deadline of its stop, for what does not notice that the leadership is lost', async () => {
    const t = setup({ deaf: true });
    const stop = new AbortController();
    const running = createManager({ controllers: [t.controller], election: t.election }).run(stop.signal);
    const failing = expect(running).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_LEADERSHIP_LOST' });
    await settle();
    t.elect();
    await settle();
    stop.abort();
    await t.clock.advance(1000);
    t.lose();
    await t.clock.advance(2000);
    await failing;
    expect(t.clock.pending).toBe(0);
  });

  test('fails when a source does not sync, as a standby and without an election', async () => {
    for (const elects of [true, false]) {
      const t = setup({ synced: new Promise(() => undefined) });
      const manager = createManager({
        controllers: [t.controller],
        ...(elects ? { election: t.election } : {}),
      });
      const failing = expect(manager.run(new AbortController().signal)).rejects.toMatchObject({
        code: 'WARREN_CONTROLLER_SYNC_TIMEOUT',
      });
      await t.clock.advance(120_000);
      await failing;
      expect(t.clock.pending).toBe(0);
    }
  });
});
