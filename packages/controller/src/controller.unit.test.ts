// A reconcile is asynchronous by its type, also where a test has nothing to await.
/* eslint-disable @typescript-eslint/require-await */
import { describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createController } from './controller.ts';
import type { ControllerOptions, Result } from './controller.ts';
import { SyncTimeoutError, TerminalError } from './errors.ts';
import { createMetrics } from './metrics.ts';
import { Priority } from './source.ts';
import type { Enqueue, Source } from './source.ts';
import { settle, VirtualClock } from './testing/virtual-clock.ts';

/** A source that lists `keys` and then does what the test says. */
function listSource(keys: string[], synced: Promise<void> = Promise.resolve()) {
  const state = { started: 0, stopped: 0, enqueue: (() => undefined) as Enqueue };
  const source: Source = {
    name: 'list',
    start: (enqueue) => {
      state.started += 1;
      state.enqueue = enqueue;
      for (const key of keys) enqueue(key, { priority: Priority.Resync });
    },
    synced,
    stop: async () => {
      state.stopped += 1;
      await Promise.resolve();
    },
  };
  return { source, state };
}

function setup(
  reconcile: ControllerOptions['reconcile'],
  options: Partial<ControllerOptions> & { keys?: string[] } = {},
) {
  const clock = new VirtualClock();
  const registry = new Registry();
  const { source, state } = listSource(options.keys ?? ['a']);
  const controller = createController({
    name: 'test',
    reconcile,
    sources: [source],
    clock,
    observer: createMetrics(registry).controller('test'),
    ...options,
  });
  const metric = async (name: string, labels: Record<string, string> = {}) => {
    const found = (await registry.getSingleMetric(name)?.get())?.values ?? [];
    return found.find((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
      ?.value;
  };
  return { clock, controller, state, metric };
}

/** A reconcile that ends when the test says so. */
function held() {
  const running: { key: string; signal: AbortSignal; finish: (result?: Result) => void }[] = [];
  const reconcile: ControllerOptions['reconcile'] = (key, { signal }) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      running.push({ key, signal, finish: (result) => resolve(result) });
    });
  return { running, reconcile };
}

describe('a controller', () => {
  test('starts working only when every source has synced, and a standby syncs without working', async () => {
    const seen: string[] = [];
    let sync: () => void = () => undefined;
    const slow = listSource(['b'], new Promise((resolve) => (sync = resolve)));
    const fast = listSource(['a']);
    const { controller } = setup(async (key) => void seen.push(key), { sources: [fast.source, slow.source] });
    const syncing = controller.sync();
    await settle();
    expect(controller.synced).toBe(false);
    sync();
    await syncing;
    expect(controller.synced).toBe(true);
    await settle();
    expect(seen).toEqual([]);
    await controller.start();
    await settle();
    expect(seen).toEqual(['a', 'b']);
    expect(slow.state.started).toBe(1);
    await controller.stop();
  });

  test('gives up starting when a source does not sync in time', async () => {
    const never = listSource([], new Promise(() => undefined));
    const { clock, controller } = setup(async () => undefined, { sources: [never.source] });
    const starting = expect(controller.start()).rejects.toBeInstanceOf(SyncTimeoutError);
    await clock.advance(120_000);
    await starting;
    await controller.stop();
    expect(clock.pending).toBe(0);
  });

  test('reconciles as many keys at once as it has workers, and never one key twice', async () => {
    const { running, reconcile } = held();
    const { controller } = setup(reconcile, { keys: ['a', 'b', 'c'], workers: 2 });
    await controller.start();
    await settle();
    expect(running.map(({ key }) => key)).toEqual(['a', 'b']);
    controller.enqueue('a', { priority: Priority.Urgent });
    running[1]!.finish();
    await settle();
    expect(running.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    running[0]!.finish();
    await settle();
    expect(running.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'a']);
    await controller.stop({ abort: true });
  });

  test('retries a failure by the rate limiter, and starts over after a success', async () => {
    const at: number[] = [];
    const failures: number[] = [];
    const { clock, controller, metric } = setup(async (_key, context) => {
      at.push(clock.now());
      failures.push(context.failures);
      if (at.length !== 4) throw new Error('not yet');
    });
    await controller.start();
    await clock.advance(100);
    expect(at).toEqual([0, 5, 15, 35]);
    expect(failures).toEqual([0, 1, 2, 3]);
    controller.enqueue('a');
    await clock.advance(5);
    expect(at.slice(4)).toEqual([100, 105]);
    expect(await metric('controller_runtime_reconcile_total', { result: 'error' })).toBe(5);
    expect(await metric('controller_runtime_reconcile_errors_total')).toBe(5);
    expect(await metric('workqueue_retries_total')).toBe(5);
    await controller.stop();
    expect(clock.pending).toBe(0);
  });

  test('does not retry a terminal error until something changes', async () => {
    let calls = 0;
    const { clock, controller, metric } = setup(async () => {
      calls += 1;
      throw new TerminalError('the spec makes no sense');
    });
    await controller.start();
    await clock.advance(10_000_000);
    expect(calls).toBe(1);
    controller.enqueue('a');
    await settle();
    expect(calls).toBe(2);
    expect(await metric('controller_runtime_terminal_reconcile_errors_total')).toBe(2);
    await controller.stop();
  });

  test('stays away as long as the error asks', async () => {
    const at: number[] = [];
    const { clock, controller } = setup(async () => {
      at.push(clock.now());
      throw Object.assign(new Error('busy'), { retryAfterMs: 7000 });
    });
    await controller.start();
    await clock.advance(7000);
    expect(at).toEqual([0, 7000]);
    await controller.stop();
  });

  test('comes again after requeueAfterMs, behind the edits', async () => {
    const at: [string, number][] = [];
    const { clock, controller, metric } = setup(async (key) => {
      at.push([key, clock.now()]);
      return key === 'a' ? { requeueAfterMs: 1000 } : {};
    });
    await controller.start();
    await clock.advance(2500);
    expect(at).toEqual([
      ['a', 0],
      ['a', 1000],
      ['a', 2000],
    ]);
    expect(await metric('controller_runtime_reconcile_total', { result: 'requeue_after' })).toBe(3);
    await controller.stop();
    expect(clock.pending).toBe(0);
  });

  test('treats a requeue without a delay as a failure, so that it cannot spin', async () => {
    let calls = 0;
    const { clock, controller } = setup(async () => {
      calls += 1;
      return { requeueAfterMs: 0 };
    });
    await controller.start();
    await clock.advance(100);
    expect(calls).toBe(5);
    await controller.stop();
  });

  test('survives a reconcile that throws before it returns a promise, or throws what is no error', async () => {
    let calls = 0;
    const { clock, controller, metric } = setup(() => {
      calls += 1;
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      if (calls === 1) throw 'thrown';
      if (calls === 2) throw new TypeError('x is not a function');
      return Promise.resolve();
    });
    await controller.start();
    await clock.advance(1000);
    expect(calls).toBe(3);
    expect(await metric('controller_runtime_reconcile_panics_total')).toBe(1);
    expect(await metric('controller_runtime_reconcile_total', { result: 'success' })).toBe(1);
    await controller.stop();
  });

  test('aborts a reconcile that takes too long, counts it and retries', async () => {
    const { running, reconcile } = held();
    const { clock, controller, metric } = setup(reconcile, { reconcileTimeoutMs: 1000 });
    await controller.start();
    await clock.advance(1000);
    expect((running[0]!.signal.reason as { code: string }).code).toBe('WARREN_CONTROLLER_RECONCILE_TIMEOUT');
    await clock.advance(5);
    expect(running).toHaveLength(2);
    running[1]!.finish();
    await settle();
    expect(await metric('controller_runtime_reconcile_timeouts_total')).toBe(1);
    await controller.stop();
    expect(clock.pending).toBe(0);
  });

  test('enqueues everything again every so often, behind the edits', async () => {
    const seen: string[] = [];
    const { clock, controller } = setup(async (key) => void seen.push(key), {
      keys: [],
      resync: { everyMs: 1000, keys: () => ['a', 'b'] },
    });
    await controller.start();
    await clock.advance(1100);
    expect(seen).toEqual(['a', 'b']);
    await clock.advance(1100);
    expect(seen).toEqual(['a', 'b', 'a', 'b']);
    await controller.stop();
    expect(clock.pending).toBe(0);
  });

  test('stops: takes nothing more and lets what runs finish', async () => {
    const { running, reconcile } = held();
    const { clock, controller, state } = setup(reconcile, { keys: ['a', 'b'] });
    await controller.start();
    await settle();
    const stopping = controller.stop();
    await clock.advance(10_000);
    expect(running[0]!.signal.aborted).toBe(false);
    running[0]!.finish({ requeueAfterMs: 5 });
    expect(await stopping).toEqual({ clean: true });
    await clock.advance(60_000);
    expect(running).toHaveLength(1);
    expect(state.stopped).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test('stops: aborts near the deadline what does not finish, and says so when that did not help', async () => {
    const { running, reconcile } = held();
    const polite = setup(reconcile);
    await polite.controller.start();
    await settle();
    const stopping = polite.controller.stop({ deadlineMs: 10_000 });
    await polite.clock.advance(8000);
    expect(running[0]!.signal.aborted).toBe(true);
    expect(await stopping).toEqual({ clean: true });

    const deaf = setup(() => new Promise(() => undefined));
    await deaf.controller.start();
    await settle();
    const giving = deaf.controller.stop({ deadlineMs: 10_000 });
    await deaf.clock.advance(10_000);
    expect(await giving).toEqual({ clean: false });
    expect(deaf.clock.pending).toBe(0);
  });

  test('stops at once when told to abort', async () => {
    const { running, reconcile } = held();
    const { clock, controller } = setup(reconcile);
    await controller.start();
    await settle();
    expect(await controller.stop({ abort: true })).toEqual({ clean: true });
    expect((running[0]!.signal.reason as { code: string }).code).toBe('WARREN_CONTROLLER_STOPPED');
    expect(clock.pending).toBe(0);
  });

  test('stops by the earliest of its deadlines when it is stopped again', async () => {
    const { clock, controller } = setup(() => new Promise(() => undefined));
    await controller.start();
    await settle();
    const first = controller.stop({ deadlineMs: 10_000 });
    await clock.advance(1000);
    const second = controller.stop({ abort: true, deadlineMs: 2000 });
    const third = controller.stop({ deadlineMs: 30_000 });
    await clock.advance(2000);
    expect(await Promise.all([first, second, third])).toEqual(Array(3).fill({ clean: false }));
    expect(clock.pending).toBe(0);
  });

  test('can be stopped before it has synced', async () => {
    const never = listSource([], new Promise(() => undefined));
    const { clock, controller } = setup(async () => undefined, { sources: [never.source] });
    const starting = expect(controller.start()).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_STOPPED' });
    await controller.stop();
    await starting;
    expect(clock.pending).toBe(0);
  });

  test('does not start once it has been stopped', async () => {
    const never = setup(async () => undefined);
    await never.controller.stop();
    await expect(never.controller.start()).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_STOPPED' });
    expect(never.state.started).toBe(0);

    const standby = setup(async () => undefined);
    await standby.controller.sync();
    await standby.controller.stop();
    await expect(standby.controller.start()).rejects.toMatchObject({ code: 'WARREN_CONTROLLER_STOPPED' });
    expect(never.clock.pending + standby.clock.pending).toBe(0);
  });

  test('shows its work in the metrics while it works', async () => {
    const { running, reconcile } = held();
    const { clock, controller, metric } = setup(reconcile, { keys: ['a', 'b', 'c'] });
    await controller.start();
    await clock.advance(3000);
    expect(await metric('workqueue_depth', { name: 'test' })).toBe(2);
    expect(await metric('workqueue_adds_total')).toBe(3);
    expect(await metric('workqueue_unfinished_work_seconds')).toBe(3);
    expect(await metric('workqueue_longest_running_processor_seconds')).toBe(3);
    expect(await metric('controller_runtime_active_workers')).toBe(1);
    expect(await metric('controller_runtime_max_concurrent_reconciles')).toBe(1);
    running[0]!.finish();
    await settle();
    expect(await metric('controller_runtime_reconcile_total', { result: 'success' })).toBe(1);
    await controller.stop({ abort: true });
  });
});
