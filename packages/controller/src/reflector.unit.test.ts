import { describe, expect, test } from '@jest/globals';
import {
  ConnectionError,
  GoneError,
  NotFoundError,
  RequestTimeoutError,
  ServerError,
  UnauthorizedError,
} from './errors.ts';
import { silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { ReflectorOptions } from './reflector.ts';
import { failed, scriptedReflector as setup, thing } from './testing/scripted-reflector.ts';
import type { Thing } from './testing/scripted-reflector.ts';
import { settle } from './testing/virtual-clock.ts';

describe('a reflector', () => {
  test('lists, is synced, and watches from where the list was, with bookmarks and an end between 5 and 10 minutes', async () => {
    const t = setup();
    t.state.list = [thing('a', 1), thing('b', 2)];
    t.reflector.start();
    await t.reflector.synced;
    await settle();
    expect([...t.reflector.store.keys()]).toEqual(['a', 'b']);
    expect(t.changes.map(({ type, key, initial }) => [type, key, initial])).toEqual([
      ['added', 'a', true],
      ['added', 'b', true],
    ]);
    const { resourceVersion, timeoutSeconds } = t.last().options;
    expect(resourceVersion).toBe('10');
    expect(timeoutSeconds).toBeGreaterThanOrEqual(300);
    expect(timeoutSeconds).toBeLessThanOrEqual(600);
    await t.reflector.stop();
    expect(t.clock.pending).toBe(0);
  });

  test('tells of what is added, updated and deleted, after the store has it', async () => {
    const t = setup();
    t.reflector.start();
    await t.reflector.synced;
    const stored: (Thing | undefined)[] = [];
    t.reflector.onChange(({ key }) => stored.push(t.reflector.store.get(key)));
    await settle();
    t.last().send(
      { type: 'ADDED', object: thing('a', 11) },
      { type: 'MODIFIED', object: thing('a', 12) },
      { type: 'DELETED', object: thing('a', 13) },
    );
    await settle();
    expect(t.told()).toEqual(['added a', 'updated a', 'deleted a']);
    expect(stored.map((object) => object?.metadata.resourceVersion)).toEqual(['11', '12', undefined]);
    await t.reflector.stop();
  });

  test('tells once that the server does not know its resource, and lists when it does', async () => {
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (_fields, text) => errors.push(text), child: () => log };
    const t = setup({ log });
    t.state.failLists = Array.from({ length: 5 }, () => new NotFoundError('no such resource', failed));
    t.reflector.start();
    await settle();
    expect(t.reflector.isUndefined).toBe(true);
    for (let round = 0; round < 5; round += 1) await t.clock.advance(15_000);
    await t.reflector.synced;
    expect(t.reflector.isUndefined).toBe(false);
    expect(errors).toEqual([expect.stringContaining('apply its CustomResourceDefinition')]);
    await t.reflector.stop();
  });

  test('goes on from the last event or bookmark when the server ends the watch', async () => {
    const t = setup();
    t.reflector.start();
    await settle();
    t.last().send(
      { type: 'ADDED', object: thing('a', 11) },
      { type: 'BOOKMARK', resourceVersion: '40' },
      'end',
    );
    await settle();
    expect(t.watches.map(({ options }) => options.resourceVersion)).toEqual(['10', '40']);
    expect(t.lists).toHaveLength(1);
    await t.reflector.stop();
  });

  test('lists again at once when its place is lost, and finds what was deleted, made anew and changed meanwhile', async () => {
    const t = setup();
    t.state.list = [thing('gone', 1), thing('again', 2), thing('changed', 3), thing('same', 4)];
    t.reflector.start();
    await settle();
    t.told();
    t.state.list = [
      thing('again', 21, { uid: 'uid-other' }),
      thing('changed', 22),
      thing('same', 4),
      thing('new', 23),
    ];
    t.state.version = 30;
    t.last().send(new GoneError('too old', { ...failed, status: 410 }));
    await settle();
    expect(t.told()).toEqual([
      'deleted gone stale',
      'deleted again stale',
      'added again',
      'updated changed',
      'added new',
    ]);
    expect(t.last().options.resourceVersion).toBe('30');
    const relists = await t.registry.getSingleMetric('reflector_relists_total')!.get();
    expect(relists.values.map(({ labels, value }) => [labels['reason'], value])).toEqual([
      ['start', 1],
      ['expired', 1],
    ]);
    await t.reflector.stop();
  });

  test('when its definition was deleted it waits until there is one again, and nothing of before is left', async () => {
    const t = setup();
    t.state.list = [thing('old', 1)];
    t.reflector.start();
    await settle();
    t.told();
    const undefinedYet = () => new NotFoundError('no such resource', { ...failed, status: 404 });
    t.state.failLists = [undefinedYet(), undefinedYet()];
    t.last().send(undefinedYet());
    await settle();
    expect(t.reflector.state).toBe('waiting');
    await t.clock.advance(250);
    await t.clock.advance(500);
    expect(t.lists).toHaveLength(3);
    t.state.list = [thing('new', 41)];
    t.state.version = 50;
    await t.clock.advance(1_000);
    expect(t.told()).toEqual(['deleted old stale', 'added new']);
    // In pages, as before.
    expect(t.lists.map(({ pageSize }) => pageSize)).toEqual([500, 500, 500, 500]);
    expect(t.last().options.resourceVersion).toBe('50');
    await t.reflector.stop();
  });

  test('lists again when the server knows of no such version yet: it was restored from a backup', async () => {
    const t = setup();
    t.reflector.start();
    await settle();
    t.last().send(
      new ServerError('Too large resource version', {
        ...failed,
        causes: [{ reason: 'ResourceVersionTooLarge' }],
      }),
    );
    await settle();
    expect(t.lists).toHaveLength(2);
    await t.reflector.stop();
  });

  test('lists again after a watch that never said a word, and says so where there are objects', async () => {
    const said: string[] = [];
    const log: Log = { ...silentLog, info: (_fields, text) => said.push(text), child: () => log };
    const t = setup({ log });
    const silence = new RequestTimeoutError('nothing heard', { ...failed, status: 0 });
    t.reflector.start();
    await settle();
    t.last().send({ type: 'BOOKMARK', resourceVersion: '11' }, silence);
    await t.clock.advance(250);
    expect(t.lists).toHaveLength(1);
    expect(t.last().options.resourceVersion).toBe('11');
    said.length = 0;
    t.state.list = [thing('a', 1)];
    t.last().send(silence);
    await t.clock.advance(1000);
    expect([t.lists.length, said]).toEqual([2, []]);
    t.state.version = 5;
    t.last().send(silence);
    await t.clock.advance(1000);
    expect(said[0]).toBe('the watch has lost its place: listing again');
    expect(t.last().options.resourceVersion).toBe('5');
    await t.reflector.stop();
  });

  test('does not storm a server that loses its place again and again', async () => {
    const t = setup();
    const gone = new GoneError('too old', { ...failed, status: 410 });
    t.state.failLists = Array.from({ length: 1000 }, () => gone);
    t.reflector.start();
    await t.clock.advance(60_000);
    expect(t.lists.length).toBeGreaterThan(4);
    expect(t.lists.length).toBeLessThan(20);
    // A list whose pages expire is asked for in one piece the next time.
    expect(t.lists.slice(0, 2).map(({ pageSize }) => pageSize)).toEqual([500, 0]);
    await t.reflector.stop();
    expect(t.clock.pending).toBe(0);
  });

  test.each([
    ['a broken connection', new ConnectionError('reset', { ...failed, status: 0 })],
    ['a server error', new ServerError('etcd leader changed', failed)],
    ['refused credentials', new UnauthorizedError('no', { ...failed, status: 401 })],
    ['anything at all', new TypeError('surprise')],
  ])('watches on from where it was, after a while, when there is %s', async (_what, error) => {
    const t = setup();
    t.reflector.start();
    await settle();
    t.last().send({ type: 'ADDED', object: thing('a', 11) }, error);
    await settle();
    expect(t.reflector.state).toBe('waiting');
    expect(t.watches).toHaveLength(1);
    await t.clock.advance(250);
    expect(t.watches.map(({ options }) => options.resourceVersion)).toEqual(['10', '11']);
    expect(t.lists).toHaveLength(1);
    await t.reflector.stop();
    expect(t.clock.pending).toBe(0);
  });

  test('waits longer each time, up to 15 s, and starts over after a watch that held', async () => {
    const t = setup();
    const down = new ConnectionError('refused', { ...failed, status: 0 });
    t.state.failLists = Array.from({ length: 10_000 }, () => down);
    t.reflector.start();
    await t.clock.advance(600_000);
    expect(t.lists.length).toBeLessThan(100);
    expect(t.lists.length).toBeGreaterThan(40);
    t.state.failLists = [];
    await t.clock.advance(15_000);
    await t.reflector.synced;
    await t.clock.advance(20_000);
    t.last().send(down);
    await t.clock.advance(250);
    expect(t.watches).toHaveLength(2);
    await t.reflector.stop();
  });

  test('does not spin when every watch ends at once', async () => {
    const t = setup();
    t.reflector.start();
    await settle();
    for (let i = 0; i < 100; i += 1) {
      t.last().send('end');
      await t.clock.advance(100);
    }
    expect(t.watches.length).toBeLessThan(12);
    await t.reflector.stop();
  });

  test('stops for good: the watch is closed, nothing is said afterwards, nothing is left', async () => {
    const t = setup();
    t.reflector.start();
    await settle();
    const watch = t.last();
    watch.send({ type: 'ADDED', object: thing('a', 11) });
    await t.reflector.stop();
    expect(watch.ended).toBe(true);
    t.told();
    watch.send({ type: 'ADDED', object: thing('b', 12) });
    await t.clock.advance(600_000);
    expect(t.told()).toEqual([]);
    expect(t.watches).toHaveLength(1);
    expect(t.reflector.state).toBe('stopped');
    expect(t.clock.pending).toBe(0);
  });

  test('has one watch, however often it is started and stopped', async () => {
    const t = setup();
    t.reflector.start();
    t.reflector.start();
    void t.reflector.stop();
    t.reflector.start();
    void t.reflector.stop();
    t.reflector.start();
    t.reflector.start();
    await t.clock.advance(10_000);
    expect(t.watches.filter(({ ended }) => !ended)).toHaveLength(1);
    await t.reflector.stop();
    expect(t.watches.filter(({ ended }) => !ended)).toHaveLength(0);
  });

  test('started again compares the new list with what it knew', async () => {
    const t = setup();
    t.state.list = [thing('a', 1), thing('b', 2)];
    t.reflector.start();
    await t.reflector.synced;
    await t.reflector.stop();
    t.told();
    t.state.list = [thing('b', 2), thing('c', 3)];
    t.reflector.start();
    await settle();
    expect(t.told()).toEqual(['deleted a stale', 'added c']);
    await t.reflector.stop();
  });

  test('tells a handler that comes late of what is there, and one that left of nothing', async () => {
    const t = setup();
    t.state.list = [thing('a', 1)];
    t.reflector.start();
    await t.reflector.synced;
    await settle();
    const late: string[] = [];
    const detach = t.reflector.onChange(({ type, key, initial }) => late.push(`${type} ${key} ${initial}`));
    detach();
    t.last().send({ type: 'ADDED', object: thing('b', 11) });
    await settle();
    expect(late).toEqual(['added a true']);
    await t.reflector.stop();
  });

  test('finds objects by index, also after they moved', async () => {
    const t = setup({ indexes: { label: ({ metadata }) => Object.values(metadata.labels ?? {}) } });
    t.state.list = [thing('a', 1, { labels: { x: 'one' } }), thing('b', 2, { labels: { x: 'one' } })];
    t.reflector.start();
    await t.reflector.synced;
    await settle();
    expect([...t.reflector.store.by('label', 'one')]).toEqual(['a', 'b']);
    t.last().send(
      { type: 'MODIFIED', object: thing('a', 11, { labels: { x: 'two' } }) },
      { type: 'DELETED', object: thing('b', 12, { labels: { x: 'one' } }) },
    );
    await settle();
    expect([...t.reflector.store.by('label', 'one')]).toEqual([]);
    expect([...t.reflector.store.by('label', 'two')]).toEqual(['a']);
    await t.reflector.stop();
  });

  test.each<[string, Partial<ReflectorOptions<Thing>>]>([
    ['an index', { indexes: { length: ({ spec }) => [String(spec!.length)] } }],
    [
      'a transform',
      {
        transform: (object) => {
          if (object.spec === undefined) throw new TypeError('no spec');
          return object;
        },
      },
    ],
  ])(
    'goes on, on the same watch and through a list, past objects for which %s throws',
    async (_what, options) => {
      const errors: object[] = [];
      const log: Log = { ...silentLog, error: (fields) => errors.push(fields), child: () => log };
      const t = setup({ log, ...options });
      const managed = { managedFields: [{ manager: 'x' }] };
      t.state.list = [thing('a', 1, managed)];
      t.reflector.start();
      await t.reflector.synced;
      await settle();
      t.last().send(
        { type: 'ADDED', object: thing('bad', 11, managed) },
        { type: 'MODIFIED', object: thing('bad', 12) },
        { type: 'DELETED', object: thing('a', 13) },
        { type: 'ADDED', object: { ...thing('good', 14), spec: 'x' } },
      );
      await settle();
      expect(t.changes.map(({ object }) => object.metadata)).not.toContainEqual(
        expect.objectContaining(managed),
      );
      expect(t.told()).toEqual(['added a', 'added bad', 'updated bad', 'deleted a', 'added good']);
      expect(errors).toContainEqual(expect.objectContaining({ key: 'bad' }));
      expect([t.lists.length, t.watches.length]).toEqual([1, 1]);
      await t.reflector.stop();
    },
  );

  test('listing again holds nothing of what has not changed, and keeps the very objects', async () => {
    const transformed: string[] = [];
    const t = setup({
      transform: (object) => {
        transformed.push(`${object.metadata.name}@${object.metadata.resourceVersion ?? ''}`);
        return object;
      },
    });
    t.state.list = [thing('a', 1), thing('b', 2)];
    t.reflector.start();
    await t.clock.advance(1);
    const before = t.reflector.store.get('a');
    t.state.list = [thing('a', 1), thing('b', 12)];
    t.last().send(new GoneError('too old', { ...failed, status: 410 }));
    await t.clock.advance(1);
    expect(t.lists).toHaveLength(2);
    expect(transformed).toEqual(['a@1', 'b@2', 'b@12']);
    expect(t.reflector.store.get('a')).toBe(before);
    expect(t.told()).toEqual(['added a', 'added b', 'updated b']);
    await t.reflector.stop();
  });

  test('is not led back to the beginning by a bookmark without a version', async () => {
    const t = setup();
    t.reflector.start();
    await settle();
    t.last().send(
      { type: 'ADDED', object: thing('a', 11) },
      { type: 'BOOKMARK', resourceVersion: '' },
      'end',
    );
    await t.clock.advance(1);
    expect(t.last().options.resourceVersion).toBe('11');
    await t.reflector.stop();
  });

  test('keeps no managedFields', async () => {
    const t = setup();
    t.state.list = [thing('a', 1, { managedFields: [{ manager: 'x' }] })];
    t.reflector.start();
    await t.reflector.synced;
    expect(t.reflector.store.get('a')?.metadata).not.toHaveProperty('managedFields');
    await t.reflector.stop();
  });
});
