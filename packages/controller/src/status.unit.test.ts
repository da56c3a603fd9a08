import { describe, expect, test } from '@jest/globals';
import { alreadyApplied } from './applied.ts';
import { findCondition, isTrue, setCondition } from './conditions.ts';
import type { Condition } from './conditions.ts';
import { ConflictError, NotFoundError } from './errors.ts';
import { addFinalizer, removeFinalizer } from './finalizers.ts';
import type { CustomResource, KubernetesObject } from './object.ts';
import { createStatusWriter } from './status-writer.ts';

const ready = {
  type: 'Ready',
  status: 'True',
  reason: 'Fine',
  message: 'All is well.',
  observedGeneration: 1,
} as const;
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second, 123));

describe('setCondition', () => {
  test('adds a condition with the time in whole seconds', () => {
    expect(setCondition(undefined, ready, at(1))).toEqual([
      { ...ready, lastTransitionTime: '2026-01-01T00:00:01Z' },
    ]);
  });

  test('keeps the time while the status stays, also when the reason, message or generation change', () => {
    const before = setCondition([], ready, at(1));
    const after = setCondition(before, { ...ready, reason: 'Better', observedGeneration: 2 }, at(9));
    expect(after).toEqual([
      { ...ready, reason: 'Better', observedGeneration: 2, lastTransitionTime: '2026-01-01T00:00:01Z' },
    ]);
  });

  test('moves the time when the status changes', () => {
    const before = setCondition([], ready, at(1));
    const [after] = setCondition(before, { ...ready, status: 'False' }, at(9));
    expect(after?.lastTransitionTime).toBe('2026-01-01T00:00:09Z');
  });

  test('gives back the very same array when nothing changes, and leaves others alone', () => {
    const other: Condition = { ...ready, type: 'Other', lastTransitionTime: '2020-01-01T00:00:00Z' };
    const before = setCondition([other], ready, at(1));
    expect(setCondition(before, ready, at(9))).toBe(before);
    expect(before[0]).toBe(other);
    expect(isTrue(before, 'Ready')).toBe(true);
    expect(findCondition(before, 'Nothing')).toBeUndefined();
  });
});

describe('alreadyApplied', () => {
  const by = { fieldManager: 'us' };
  const live = (more: object): KubernetesObject => ({
    metadata: { name: 'x', labels: { ours: '1', theirs: '2' } },
    ...more,
  });
  const mine = (fieldsV1: Record<string, unknown>, more: object = {}) => [
    { manager: 'us', operation: 'Apply', fieldsV1, ...more },
  ];

  test('without managedFields: equal but for metadata, of which it need only be a part', () => {
    const wanted = { metadata: { name: 'x', labels: { ours: '1' } }, data: { a: '1' } };
    expect(alreadyApplied(live({ data: { a: '1' } }), wanted, by)).toBe(true);
    expect(alreadyApplied(live({ data: { a: '1', b: '2' } }), wanted, by)).toBe(false);
    expect(alreadyApplied(live({ data: { a: '2' } }), wanted, by)).toBe(false);
    expect(
      alreadyApplied(live({ data: { a: '1' } }), { ...wanted, metadata: { labels: { ours: 'x' } } }, by),
    ).toBe(false);
  });

  test('with managedFields: what others added does not matter, what we own and no longer want does', () => {
    const wanted = { data: { a: '1' }, list: [{ name: 'n', value: 1 }], set: ['s'] };
    const owned = {
      'f:data': { '.': {}, 'f:a': {} },
      'f:list': { 'k:{"name":"n"}': { '.': {}, 'f:value': {} } },
      'f:set': { 'v:"s"': {} },
    };
    const there = { data: { a: '1', theirs: '2' }, list: wanted.list, set: wanted.set };
    const withFields = (fields: Record<string, unknown>) => {
      const object = live(there);
      object.metadata.managedFields = mine(fields);
      return object;
    };
    expect(alreadyApplied(withFields(owned), wanted, by)).toBe(true);
    expect(alreadyApplied(withFields({ ...owned, 'f:data': { 'f:a': {}, 'f:old': {} } }), wanted, by)).toBe(
      false,
    );
    expect(alreadyApplied(withFields({ ...owned, 'f:list': { 'k:{"name":"old"}': {} } }), wanted, by)).toBe(
      false,
    );
    expect(alreadyApplied(withFields({ ...owned, 'f:set': { 'v:"old"': {} } }), wanted, by)).toBe(false);
    expect(alreadyApplied(withFields(owned), wanted, { fieldManager: 'somebody' })).toBe(false);
    expect(alreadyApplied(withFields(owned), wanted, { ...by, subresource: 'status' })).toBe(false);
  });

  test('what is owned as a whole has nothing besides what is wanted', () => {
    const wanted = { data: { phase: 'Done', messages: { ready: 1 } } };
    const whole = (data: object) => {
      const object = live({ data });
      object.metadata.managedFields = mine({ 'f:data': {} });
      return alreadyApplied(object, wanted, by);
    };
    expect(whole(wanted.data)).toBe(true);
    expect(whole({ ...wanted.data, old: 'x' })).toBe(false);
    expect(whole({ ...wanted.data, messages: { ready: 1, dead: 2 } })).toBe(false);
  });

  test('is not fooled by names that every object has', () => {
    expect(alreadyApplied(live({ data: {} }), { data: { constructor: 'x' } }, by)).toBe(false);
    expect(alreadyApplied(live({ data: {} }), { data: { toString: undefined } }, by)).toBe(true);
  });
});

type Thing = CustomResource<object, { phase: string; conditions?: readonly Condition[] }>;

function statusWriter({ theirs = {} }: { theirs?: object } = {}) {
  const writes: unknown[] = [];
  let version = 10;
  const writer = createStatusWriter<Thing>({
    resource: {
      fieldManager: 'us',
      applyStatus: (ref, status) => {
        writes.push(status);
        version += 1;
        const metadata = {
          name: ref.name,
          uid: 'uid',
          resourceVersion: String(version),
          managedFields: [],
        };
        return Promise.resolve({ metadata, spec: {}, status: { ...theirs, ...status } } as Thing);
      },
    },
  });
  const live = (resourceVersion: string, status?: Thing['status']): Thing => ({
    metadata: { name: 'x', uid: 'uid', resourceVersion },
    spec: {},
    ...(status === undefined ? {} : { status }),
  });
  return { writer, writes, live };
}

describe('the status writer', () => {
  test('writes what is new and nothing when it is equal', async () => {
    const t = statusWriter();
    await t.writer.write(t.live('1', { phase: 'Old' }), { phase: 'New' });
    expect(await t.writer.write(t.live('20', { phase: 'New' }), { phase: 'New' })).toBeUndefined();
    expect(t.writes).toEqual([{ phase: 'New' }]);
  });

  test('builds upon its own last write while the store is older, so that nothing is written twice', async () => {
    const t = statusWriter();
    let second = 0;
    const next = (current: Thing['status']) => ({
      phase: 'New',
      conditions: setCondition(current?.conditions, ready, at((second += 5))),
    });
    const stale = t.live('9');
    await t.writer.write(stale, next);
    expect(await t.writer.write(stale, next)).toBeUndefined();
    expect(t.writer.current(stale)?.phase).toBe('New');
    expect(t.writes).toHaveLength(1);
    // The store catches up with a change that somebody else made: that counts again.
    expect(await t.writer.write(t.live('12', { phase: 'Tampered' }), next)).toBeDefined();
    expect(t.writes).toHaveLength(2);
  });
});

describe('the status writer beside another manager', () => {
  test('writes once, and not again for what the other one added', async () => {
    const t = statusWriter({ theirs: { depth: 7 } });
    const written = await t.writer.write(t.live('9'), { phase: 'New' });
    const { resourceVersion } = written!.metadata;
    const caughtUp = t.live(resourceVersion!, { phase: 'New', ...{ depth: 7 } });
    for (let i = 0; i < 3; i += 1) expect(await t.writer.write(caughtUp, { phase: 'New' })).toBeUndefined();
    expect(t.writes).toHaveLength(1);
    await t.writer.write(caughtUp, { phase: 'Newer' });
    expect(t.writes).toHaveLength(2);
  });
});

describe('finalizers', () => {
  function setup(finalizers: string[], more: Partial<KubernetesObject['metadata']> = {}) {
    const server = {
      object: { metadata: { name: 'x', uid: 'u1', resourceVersion: '1', finalizers, ...more } } as
        KubernetesObject | undefined,
      conflicts: 0,
      patches: 0,
    };
    const resource = {
      find: () => Promise.resolve(structuredClone(server.object)),
      patchFinalizers: (object: KubernetesObject, wanted: string[]) => {
        server.patches += 1;
        if (server.object === undefined) {
          return Promise.reject(new NotFoundError('gone', { status: 404, request: 'x' }));
        }
        if (server.conflicts > 0 || object.metadata.uid !== server.object.metadata.uid) {
          server.conflicts -= 1;
          return Promise.reject(new ConflictError('conflict', { status: 409, request: 'x' }));
        }
        server.object = { metadata: { ...server.object.metadata, finalizers: wanted } };
        return Promise.resolve(server.object);
      },
    };
    return { server, resource, object: structuredClone(server.object!) };
  }

  test('are added beside those of others, and not twice', async () => {
    const t = setup(['theirs']);
    const added = await addFinalizer(t.resource, t.object, 'ours');
    expect(added?.metadata.finalizers).toEqual(['theirs', 'ours']);
    await addFinalizer(t.resource, added!, 'ours');
    expect(t.server.patches).toBe(1);
  });

  test('are removed alone, reading again as often as somebody else is faster', async () => {
    const t = setup(['theirs', 'ours']);
    t.server.conflicts = 5;
    expect((await removeFinalizer(t.resource, t.object, 'ours'))?.metadata.finalizers).toEqual(['theirs']);
    expect(t.server.patches).toBe(6);
  });

  test('give up when the storm does not end, so that the queue backs off', async () => {
    const t = setup(['ours']);
    t.server.conflicts = 100;
    await expect(removeFinalizer(t.resource, t.object, 'ours')).rejects.toMatchObject({
      code: 'WARREN_K8S_CONFLICT',
    });
    expect(t.server.patches).toBe(8);
  });

  test('are not touched on an object that is gone, made anew, or being deleted', async () => {
    const gone = setup(['ours']);
    gone.server.object = undefined;
    expect(await removeFinalizer(gone.resource, gone.object, 'ours')).toBeUndefined();
    const anew = setup(['ours']);
    anew.server.object!.metadata.uid = 'u2';
    expect(await removeFinalizer(anew.resource, anew.object, 'ours')).toBeUndefined();
    expect(anew.server.object!.metadata.finalizers).toEqual(['ours']);
    const deleting = setup([], { deletionTimestamp: '2026-01-01T00:00:00Z' });
    await addFinalizer(deleting.resource, deleting.object, 'ours');
    expect(deleting.server.patches).toBe(0);
  });
});
