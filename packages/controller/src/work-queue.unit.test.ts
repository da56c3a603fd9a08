import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { exponentialPerKey, defaultRateLimiter } from './rate-limiter.ts';
import { Priority } from './source.ts';
import { settle, VirtualClock } from './testing/virtual-clock.ts';
import { WorkQueue } from './work-queue.ts';

function setup() {
  const clock = new VirtualClock();
  const queue = new WorkQueue({ clock });
  /** Takes what can be taken now, without giving it back. */
  const takeAll = async () => {
    const keys: string[] = [];
    while (queue.depth > 0) keys.push((await queue.take())!.key);
    return keys;
  };
  return { clock, queue, takeAll };
}

describe('the work queue', () => {
  test('hands out a key once, however often it was added', async () => {
    const { queue, takeAll } = setup();
    for (let i = 0; i < 5; i += 1) queue.add('a');
    queue.add('b');
    expect(await takeAll()).toEqual(['a', 'b']);
  });

  test('does not hand out a key that is being worked on, and hands it out again afterwards', async () => {
    const { queue } = setup();
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(queue.depth).toBe(1);
    expect((await queue.take())?.key).toBe('a');
    queue.done('a');
    expect(queue.depth).toBe(0);
  });

  test('tells whether a key waits to be taken', async () => {
    const { queue } = setup();
    queue.add('later', { afterMs: 1_000 });
    expect([queue.has('a'), queue.has('later')]).toEqual([false, false]);
    queue.add('a');
    expect(queue.has('a')).toBe(true);
    await queue.take();
    expect(queue.has('a')).toBe(false);
    queue.add('a');
    expect(queue.has('a')).toBe(true);
    queue.done('a');
    expect(queue.has('a')).toBe(true);
  });

  test('lets edits pass what is only a resync, and lifts a key that waits but never lowers it', async () => {
    const { queue, takeAll } = setup();
    queue.add('old-1', { priority: Priority.Resync });
    queue.add('old-2', { priority: Priority.Resync });
    queue.add('old-3', { priority: Priority.Resync });
    queue.add('edit');
    queue.add('old-3');
    queue.add('edit', { priority: Priority.Resync });
    queue.add('now', { priority: Priority.Urgent });
    expect(await takeAll()).toEqual(['now', 'edit', 'old-3', 'old-1', 'old-2']);
  });

  test('keeps the priority of a key that is added while it is being worked on', async () => {
    const { queue } = setup();
    queue.add('a');
    await queue.take();
    queue.add('b', { priority: Priority.Resync });
    queue.add('a', { priority: Priority.Resync });
    queue.add('a', { priority: Priority.Urgent });
    queue.done('a');
    expect(await queue.take()).toEqual({ key: 'a', priority: Priority.Urgent });
  });

  test('hands out a delayed key when it is due, the earlier of two delays', async () => {
    const { clock, queue, takeAll } = setup();
    queue.add('a', { afterMs: 1000 });
    queue.add('a', { afterMs: 200 });
    queue.add('a', { afterMs: 5000 });
    queue.add('b', { afterMs: 100 });
    await clock.advance(99);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await takeAll()).toEqual(['b']);
    await clock.advance(100);
    expect(await takeAll()).toEqual(['a']);
    queue.done('a');
    await clock.advance(10_000);
    expect(queue.depth).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('takes a delayed key at once when it is added without a delay, and only once', async () => {
    const { clock, queue, takeAll } = setup();
    queue.add('a', { afterMs: 1000, priority: Priority.Urgent });
    queue.add('a', { priority: Priority.Resync });
    expect(await queue.take()).toEqual({ key: 'a', priority: Priority.Urgent });
    queue.done('a');
    await clock.advance(5000);
    expect(await takeAll()).toEqual([]);
  });

  test('brings a key that becomes due while it is being worked on back afterwards', async () => {
    const { clock, queue } = setup();
    queue.add('a');
    await queue.take();
    queue.add('a', { afterMs: 10 });
    await clock.advance(10);
    expect(queue.depth).toBe(0);
    queue.done('a');
    expect(queue.depth).toBe(1);
  });

  test('wakes takers in the order in which they came', async () => {
    const { queue } = setup();
    const got: string[] = [];
    void queue.take().then((taken) => got.push(`first ${taken?.key}`));
    void queue.take().then((taken) => got.push(`second ${taken?.key}`));
    queue.add('a');
    queue.add('b');
    await settle();
    expect(got).toEqual(['first a', 'second b']);
  });

  test('shuts down: wakes the takers with nothing, drops what waits, leaves no timer, and says when it is idle', async () => {
    const { clock, queue } = setup();
    queue.add('busy');
    await queue.take();
    const taker = queue.take();
    queue.add('later', { afterMs: 1000 });
    queue.shutDown();
    expect(await taker).toBeUndefined();
    queue.add('late');
    expect(queue.depth).toBe(0);
    expect(clock.pending).toBe(0);
    let idle = false;
    const waiting = queue.idle().then(() => (idle = true));
    await settle();
    expect(idle).toBe(false);
    queue.done('busy');
    await waiting;
    expect(await queue.take()).toBeUndefined();
  });

  test('keeps the tombstones of replaced delays few', async () => {
    const { clock, queue } = setup();
    for (let i = 0; i < 10_000; i += 1) {
      queue.add('a', { afterMs: 36_000_000 });
      queue.add('a');
      await queue.take();
      queue.done('a');
    }
    expect(queue.delayed).toBe(0);
    queue.shutDown();
    expect(clock.pending).toBe(0);
  });

  test('never hands out a key twice at once and loses no addition, whatever happens in whatever order', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd');
    const action = fc.oneof(
      fc.record({ what: fc.constant('add' as const), key, priority: fc.constantFrom(-100, 0, 100) }),
      fc.record({ what: fc.constant('delay' as const), key, afterMs: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ what: fc.constant('fail' as const), key }),
      fc.record({ what: fc.constant('take' as const) }),
      fc.record({ what: fc.constant('done' as const), key }),
      fc.record({ what: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 30 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const clock = new VirtualClock();
        const queue = new WorkQueue({ clock, rateLimiter: exponentialPerKey() });
        const held = new Set<string>();
        /** Keys that were added since they were last taken. */
        const owed = new Set<string>();
        for (const one of actions) {
          if (one.what === 'add') queue.add(one.key, { priority: one.priority });
          if (one.what === 'delay') queue.add(one.key, { afterMs: one.afterMs });
          if (one.what === 'fail') queue.addRateLimited(one.key);
          if (one.what === 'add' || one.what === 'delay' || one.what === 'fail') owed.add(one.key);
          if (one.what === 'pass') await clock.advance(one.ms);
          if (one.what === 'take' && queue.depth > 0) {
            const { key: taken } = (await queue.take())!;
            expect(held.has(taken)).toBe(false);
            held.add(taken);
            owed.delete(taken);
          }
          if (one.what === 'done' && held.delete(one.key)) queue.done(one.key);
        }
        for (const left of held) queue.done(left);
        await clock.advance(2_000_000);
        while (queue.depth > 0) {
          const { key: taken } = (await queue.take())!;
          owed.delete(taken);
          queue.done(taken);
        }
        expect([...owed]).toEqual([]);
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the rate limiter', () => {
  test('doubles the delay of a key with every failure, up to 1,000 s, until it is forgotten', () => {
    const limiter = exponentialPerKey();
    const delays = Array.from({ length: 20 }, () => limiter.next('a'));
    expect(delays.slice(0, 5)).toEqual([5, 10, 20, 40, 80]);
    expect(delays.at(-1)).toBe(1_000_000);
    expect(limiter.next('b')).toBe(5);
    limiter.forget('a');
    expect(limiter.failures('a')).toBe(0);
    expect(limiter.next('a')).toBe(5);
  });

  test('lets 100 keys fail at once and then 10 a second', async () => {
    const clock = new VirtualClock();
    const limiter = defaultRateLimiter(clock);
    const delays = Array.from({ length: 120 }, (_, i) => limiter.next(`key-${i}`));
    expect(delays.slice(0, 100).every((delay) => delay === 5)).toBe(true);
    expect(delays[100]).toBeCloseTo(100);
    expect(delays[119]).toBeCloseTo(2000);
    await clock.advance(60_000);
    expect(limiter.next('later')).toBe(5);
  });

  test('lets no key wait for more than 30 s for what the others have failed', async () => {
    const clock = new VirtualClock();
    const limiter = defaultRateLimiter(clock);
    for (let failures = 0; failures < 5; failures += 1) {
      for (let i = 0; i < 1_000; i += 1) limiter.next(`key-${i}`);
      await clock.advance(15_000);
    }
    expect(limiter.next('another')).toBeLessThanOrEqual(30_000);
    await clock.advance(30_000);
    expect(limiter.next('later')).toBeLessThanOrEqual(100);
  });
});
