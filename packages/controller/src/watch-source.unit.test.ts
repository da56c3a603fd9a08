import { describe, expect, test } from '@jest/globals';
import type { KubernetesObject } from './object.ts';
import { predicates } from './predicates.ts';
import type { Change, ChangeHandler } from './observed-store.ts';
import type { Reflector } from './reflector.ts';
import { Priority } from './source.ts';
import type { EnqueueOptions } from './source.ts';
import { ownedBy, watchSource } from './watch-source.ts';
import type { WatchSourceOptions } from './watch-source.ts';
import { WorkQueue } from './work-queue.ts';

type Metadata = Partial<KubernetesObject['metadata']>;

function object(name: string, more: Metadata = {}): KubernetesObject {
  return { metadata: { name, namespace: 'shop', generation: 1, ...more } };
}

function change(
  name: string,
  more: Metadata = {},
  rest: Partial<Change<KubernetesObject>> = {},
): Change<KubernetesObject> {
  return { type: 'added', key: `shop/${name}`, object: object(name, more), initial: false, ...rest };
}

/** A reflector as far as a source sees it, that says what the test lets it say. */
function setup(...sources: WatchSourceOptions<KubernetesObject>[]) {
  const handlers = new Set<ChangeHandler<KubernetesObject>>();
  const log: string[] = [];
  const reflector = {
    synced: Promise.resolve(),
    start: () => void log.push('start'),
    stop: () => Promise.resolve(void log.push('stop')),
    onChange: (handler: ChangeHandler<KubernetesObject>) => {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
    get handlers() {
      return handlers.size;
    },
  } as unknown as Reflector<KubernetesObject>;
  const enqueued: [string, EnqueueOptions | undefined][] = [];
  const all = sources.map((options) => watchSource(reflector, options));
  for (const source of all) source.start((key, options) => void enqueued.push([key, options]));
  const say = (...changes: Change<KubernetesObject>[]) => {
    for (const one of changes) for (const handler of handlers) handler(one);
  };
  return { enqueued, say, log, sources: all, keys: () => enqueued.splice(0).map(([key]) => key) };
}

describe('a watch as a source', () => {
  test('puts edits and deletions, those of before the start included, before what was only listed', async () => {
    const t = setup({});
    const queue = new WorkQueue();
    t.say(
      change('listed-1', {}, { initial: true }),
      change('listed-2', {}, { initial: true }),
      change('deleting', { deletionTimestamp: '2026-01-01T00:00:00Z' }, { initial: true }),
      change('edited'),
    );
    for (const [key, options] of t.enqueued) queue.add(key, options);
    const order: string[] = [];
    while (queue.depth > 0) order.push((await queue.take())!.key);
    expect(order).toEqual(['shop/deleting', 'shop/edited', 'shop/listed-1', 'shop/listed-2']);
    expect(t.enqueued[0]).toEqual(['shop/listed-1', { priority: Priority.Resync }]);
    queue.shutDown();
  });

  test('asks its predicate, and maps a change to the keys that it concerns', () => {
    const t = setup(
      { predicate: predicates.generationChanged },
      { predicate: ({ type }) => type === 'deleted', map: () => ['shop/x', 'shop/y'] },
    );
    const previous = object('a');
    t.say(change('a', {}, { type: 'updated', previous }));
    expect(t.keys()).toEqual([]);
    t.say(change('a', { generation: 2 }, { type: 'updated', previous }));
    expect(t.keys()).toEqual(['shop/a']);
    t.say(change('a', {}, { type: 'deleted' }));
    expect(t.keys()).toEqual(['shop/a', 'shop/x', 'shop/y']);
  });

  test('maps what a controller made to its owner', () => {
    const owner = (kind: string, name: string, controller = true) => ({
      ownerReferences: [{ apiVersion: 'v1', kind, name, uid: 'u', controller }],
    });
    const map = ownedBy('Widget');
    expect(map(change('s', owner('Widget', 'w')))).toEqual(['shop/w']);
    expect(map(change('s', owner('Other', 'w')))).toEqual([]);
    expect(map(change('s', owner('Widget', 'w', false)))).toEqual([]);
    expect(map(change('s'))).toEqual([]);
  });

  test('shares its reflector: the last source that stops stops it', async () => {
    const t = setup({}, {});
    await t.sources[0]!.stop();
    t.say(change('a'));
    expect(t.keys()).toEqual(['shop/a']);
    expect(t.log).toEqual(['start', 'start']);
    await t.sources[1]!.stop();
    expect(t.log).toEqual(['start', 'start', 'stop']);
  });
});

describe('predicates', () => {
  const updated = (before: Metadata, now: Metadata) =>
    change('a', now, { type: 'updated', previous: object('a', before) });

  test('tell which part of the metadata changed; additions and deletions always count', () => {
    const { labelsChanged, annotationsChanged, deletionStarted, finalizersChanged } = predicates;
    expect(labelsChanged(updated({ labels: { a: '1' } }, { labels: { a: '1' } }))).toBe(false);
    expect(labelsChanged(updated({ labels: { a: '1' } }, { labels: { b: '1' } }))).toBe(true);
    expect(annotationsChanged(updated({}, { annotations: { a: '1' } }))).toBe(true);
    expect(annotationsChanged(updated({}, { labels: { a: '1' } }))).toBe(false);
    expect(deletionStarted(updated({}, { deletionTimestamp: 'now' }))).toBe(true);
    expect(deletionStarted(updated({}, {}))).toBe(false);
    expect(finalizersChanged(updated({ finalizers: ['a'] }, { finalizers: ['b'] }))).toBe(true);
    for (const predicate of [labelsChanged, annotationsChanged, deletionStarted, finalizersChanged]) {
      expect(predicate(change('a'))).toBe(true);
      expect(predicate(change('a', {}, { type: 'deleted' }))).toBe(true);
    }
  });

  test('combine', () => {
    const { any, all, not } = predicates;
    const yes = () => true;
    const no = () => false;
    expect(
      [any(no, yes), any(no, no), all(yes, yes), all(yes, no), not(no)].map((p) => p(change('a'))),
    ).toEqual([true, false, true, false, true]);
  });
});
