import { describe, expect, test } from '@jest/globals';
import { ConnectionError, NotFoundError } from './errors.ts';
import { createEventRecorder } from './events.ts';
import type { EventRecorderOptions } from './events.ts';
import type { EventObserver } from './metrics.ts';
import type { KubernetesObject } from './object.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

function setup(observer?: EventObserver) {
  const clock = new VirtualClock();
  const created: (KubernetesObject & Record<string, unknown>)[] = [];
  const patched: unknown[] = [];
  const fail: Error[] = [];
  const run = async (write: () => void) => {
    await Promise.resolve();
    const error = fail.shift();
    if (error !== undefined) throw error;
    write();
  };
  const resource = {
    create: (event: KubernetesObject & Record<string, unknown>) => run(() => created.push(event)),
    mergePatch: (_ref: unknown, patch: unknown) => run(() => patched.push(patch)),
  };
  const recorder = createEventRecorder({
    cluster: { resource: () => resource } as unknown as EventRecorderOptions['cluster'],
    controller: 'example.com/widgets',
    instance: 'pod-1',
    clock,
    ...(observer === undefined ? {} : { observer }),
  });
  const object = (name = 'x') => ({
    apiVersion: 'example.com/v1',
    kind: 'Widget',
    metadata: { name, namespace: 'shop', uid: `uid-${name}` },
    spec: { secret: 'no business of an event' },
  });
  const warning = (message: string) => ({ type: 'Warning', reason: 'Broken', message }) as const;
  return { clock, created, patched, fail, recorder, object, warning };
}

describe('the event recorder', () => {
  test('writes an event about an object, and nothing of the object but its identity', async () => {
    const t = setup();
    t.recorder.event(t.object(), {
      type: 'Normal',
      reason: 'Made',
      message: 'The queue was made.',
      action: 'Create',
    });
    await t.clock.advance(1);
    expect(t.created).toEqual([
      {
        metadata: { namespace: 'shop', name: expect.stringMatching(/^x\.[0-9a-f]+$/) },
        eventTime: '2026-01-01T00:00:00.000000Z',
        type: 'Normal',
        reason: 'Made',
        action: 'Create',
        note: 'The queue was made.',
        regarding: {
          apiVersion: 'example.com/v1',
          kind: 'Widget',
          name: 'x',
          namespace: 'shop',
          uid: 'uid-x',
        },
        reportingController: 'example.com/widgets',
        reportingInstance: 'pod-1',
      },
    ]);
    await t.recorder.stop();
    expect(t.clock.pending).toBe(0);
  });

  test('says the same thing once, and counts: one request in ten minutes at most', async () => {
    const t = setup();
    for (let i = 0; i < 1000; i += 1) {
      t.recorder.event(t.object(), t.warning('It is broken.'));
      await t.clock.advance(1000);
    }
    expect(t.created).toHaveLength(1);
    expect(t.patched).toEqual([{ series: { count: 601, lastObservedTime: '2026-01-01T00:10:00.000000Z' } }]);
    await t.clock.advance(3_600_000);
    expect(t.patched).toHaveLength(2);
    expect(t.patched[1]).toMatchObject({ series: { count: 1000 } });
    expect(t.clock.pending).toBe(0);
    await t.recorder.stop();
  });

  test('tells at once what is said again after a silence', async () => {
    const t = setup();
    for (let i = 0; i < 5; i += 1) t.recorder.event(t.object(), t.warning('It is broken.'));
    await t.clock.advance(700_000);
    expect(t.created).toHaveLength(1);
    t.recorder.event(t.object(), t.warning('It is broken.'));
    await t.clock.advance(1);
    expect(t.created).toHaveLength(2);
    expect(t.created[1]).not.toHaveProperty('series');
    expect(t.created[1]?.metadata.name).not.toBe(t.created[0]?.metadata.name);
    await t.recorder.stop();
    expect(t.clock.pending).toBe(0);
  });

  test('begins the series anew when the API server has forgotten the event', async () => {
    const t = setup();
    t.recorder.event(t.object(), t.warning('It is broken.'));
    await t.clock.advance(1);
    t.recorder.event(t.object(), t.warning('It is broken.'));
    t.fail.push(new NotFoundError('gone', { status: 404, request: 'event' }));
    await t.clock.advance(600_000);
    expect(t.created).toHaveLength(2);
    expect(t.created[1]).toMatchObject({ series: { count: 2 } });
    await t.recorder.stop();
  });

  test('lets one object say 25 things and then one every 5 minutes; others are not concerned', async () => {
    const t = setup();
    for (let i = 0; i < 100; i += 1) t.recorder.event(t.object(), t.warning(`It is broken in way ${i}.`));
    t.recorder.event(t.object('y'), t.warning('It is broken.'));
    await t.clock.advance(1000);
    expect(t.created).toHaveLength(26);
    await t.clock.advance(300_000);
    t.recorder.event(t.object(), t.warning('It is broken in yet another way.'));
    await t.clock.advance(1);
    expect(t.created).toHaveLength(27);
    await t.recorder.stop();
  });

  test('lets all objects together say 50 things at once and then 10 a second', async () => {
    const t = setup();
    for (let i = 0; i < 150; i += 1) t.recorder.event(t.object(`x-${i}`), t.warning('It is broken.'));
    await t.clock.advance(1);
    expect(t.created.length).toBeGreaterThanOrEqual(50);
    expect(t.created.length).toBeLessThanOrEqual(51);
    await t.clock.advance(5000);
    expect(t.created.length).toBeLessThanOrEqual(102);
    await t.clock.advance(10_000);
    expect(t.created).toHaveLength(150);
    await t.recorder.stop();
  });

  test('writes warnings before the rest, and drops the last of the rest when too many wait', async () => {
    const t = setup();
    const normal = { type: 'Normal', reason: 'Ready', message: 'It is ready.' } as const;
    for (let i = 0; i < 1_051; i += 1) t.recorder.event(t.object(`n-${i}`), normal);
    for (const name of ['w-0', 'w-1']) t.recorder.event(t.object(name), t.warning('It is broken.'));
    await t.clock.advance(200_000);
    const told = t.created.map(({ regarding }) => (regarding as { name: string }).name);
    const [first, second] = [told.indexOf('w-0'), told.indexOf('w-1')];
    expect(first).toBeGreaterThanOrEqual(0);
    expect(first).toBeLessThan(60);
    expect(second).toBe(first + 1);
    expect(told).not.toContain('n-1050');
    expect(told).toContain('n-900');
    await t.recorder.stop();
  });

  test('writes an event that is recorded at the moment at which the last one has been written', async () => {
    let next: () => void = () => undefined;
    const t = setup({ written: () => queueMicrotask(next), dropped: () => undefined });
    next = () => {
      next = () => undefined;
      t.recorder.event(t.object(), t.warning('Two.'));
    };
    t.recorder.event(t.object(), t.warning('One.'));
    await t.clock.advance(1);
    expect(t.created.map(({ note }) => note)).toEqual(['One.', 'Two.']);
    await t.recorder.stop();
  });

  test('survives an API server that takes no events', async () => {
    const t = setup();
    t.fail.push(new ConnectionError('refused', { status: 0, request: 'event' }));
    t.recorder.event(t.object(), t.warning('One.'));
    t.recorder.event(t.object(), t.warning('Two.'));
    await t.clock.advance(1);
    expect(t.created.map(({ note }) => note)).toEqual(['Two.']);
    await t.recorder.stop();
  });

  test('keeps notes within 1,024 bytes without cutting a character, and events of what has no namespace in default', async () => {
    const t = setup();
    t.recorder.event(
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } },
      t.warning('ü'.repeat(2000)),
    );
    await t.clock.advance(1);
    const [event] = t.created;
    expect(event?.metadata.namespace).toBe('default');
    expect(Buffer.byteLength(String(event?.['note']))).toBeLessThanOrEqual(1024);
    expect(event?.['note']).toMatch(/^ü+…$/);
    await t.recorder.stop();
  });

  test('stops within its deadline, with or without an answer, and says nothing more', async () => {
    const t = setup();
    for (let i = 0; i < 500; i += 1) t.recorder.event(t.object(`x-${i}`), t.warning('It is broken.'));
    const stopping = t.recorder.stop({ deadlineMs: 2000 });
    await t.clock.advance(2000);
    await stopping;
    t.recorder.event(t.object(), t.warning('Too late.'));
    await t.clock.advance(60_000);
    expect(t.created.length).toBeLessThan(330);
    expect(t.clock.pending).toBe(0);
  });
});
