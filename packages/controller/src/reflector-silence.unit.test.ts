import { describe, expect, test } from '@jest/globals';
import { ConnectionError, NotFoundError } from './errors.ts';
import { silentLog } from './log.ts';
import type { Log } from './log.ts';
import { failed, scriptedReflector, thing } from './testing/scripted-reflector.ts';
import { settle } from './testing/virtual-clock.ts';

const cut = new ConnectionError('reset', { ...failed, status: 0 });

async function watching(...[options]: Parameters<typeof scriptedReflector>) {
  const t = scriptedReflector(options);
  t.state.list = [thing('a', 1)];
  t.reflector.start();
  await settle();
  /** The watch lasts a minute, ends like that, and what follows follows. */
  const aMinute = async (end: Error | 'end') => {
    await t.clock.advance(60_000);
    t.last().send(end);
    await t.clock.advance(250);
  };
  const metric = async (name: string) => (await t.registry.getSingleMetric(name)!.get()).values;
  return { ...t, aMinute, metric };
}

/** As behind a proxy that ends what is idle for a minute, in front of a server that was restored from a backup. */
describe('a reflector of whose watches none lasts until it counts as silent', () => {
  test.each([
    ['break', cut],
    ['end in order', 'end' as const],
  ])('lists again when two have said nothing for 90 s together and %s', async (_how, end) => {
    const t = await watching();
    await t.aMinute(end);
    expect([t.lists.length, t.watches.length]).toEqual([1, 2]);
    t.state.version = 5;
    await t.aMinute(end);
    expect(t.lists).toHaveLength(2);
    expect(t.last().options.resourceVersion).toBe('5');
    expect(await t.metric('reflector_relists_total')).toContainEqual(
      expect.objectContaining({ labels: { resource: 'things', reason: 'silent' }, value: 1 }),
    );
    await t.aMinute(end);
    expect(t.lists).toHaveLength(2);
    await t.reflector.stop();
  });

  test('watches on while there is a word in between', async () => {
    const t = await watching();
    for (let version = 20; version < 30; version += 2) {
      await t.aMinute(cut);
      t.last().send({ type: 'BOOKMARK', resourceVersion: String(version) }, 'end');
      await t.clock.advance(250);
    }
    expect(t.lists).toHaveLength(1);
    expect(t.last().options.resourceVersion).toBe('28');
    await t.reflector.stop();
  });

  test('watches on where the silence is that of a server that cannot be reached', async () => {
    const t = await watching();
    t.state.refuseWatches = Array.from({ length: 20 }, () => cut);
    t.last().send({ type: 'ADDED', object: thing('b', 11) }, cut);
    await t.clock.advance(600_000);
    expect(t.lists).toHaveLength(1);
    expect(t.last().options.resourceVersion).toBe('11');
    await t.reflector.stop();
  });

  test('tells for how long it has heard nothing, whatever was opened meanwhile', async () => {
    const t = await watching();
    await t.aMinute(cut);
    await t.clock.advance(20_000);
    const [heard] = await t.metric('reflector_last_heard_seconds');
    expect(heard?.value).toBeGreaterThanOrEqual(80);
    t.last().send({ type: 'BOOKMARK', resourceVersion: '20' });
    await settle();
    expect(await t.metric('reflector_last_heard_seconds')).toMatchObject([{ value: 0 }]);
    await t.reflector.stop();
  });

  test('tells of no silence while it does not run, and of none from before it was started', async () => {
    const t = scriptedReflector();
    const heard = async () =>
      (await t.registry.getSingleMetric('reflector_last_heard_seconds')!.get()).values;
    await t.clock.advance(600_000);
    expect(await heard()).toEqual([]);
    t.state.failLists = [cut];
    t.reflector.start();
    await settle();
    expect(await heard()).toMatchObject([{ value: 0 }]);
    await t.clock.advance(1_000);
    await t.reflector.stop();
    await t.clock.advance(600_000);
    expect(await heard()).toEqual([]);
  });
});

test('a reflector tells of each failure in one line, and of silence in an empty store in none', async () => {
  const said: string[] = [];
  const say = (_fields: object, text: string) => said.push(text);
  const log: Log = { ...silentLog, info: say, warn: say, error: say, child: () => log };
  const t = await watching({ log });
  const told = () => said.splice(0);
  expect(told()).toEqual(['the reflector has synced']);
  await t.aMinute('end');
  await t.aMinute('end');
  expect(told()).toEqual(['the watch has lost its place: listing again']);
  await t.aMinute(cut);
  expect(told()).toEqual(['the reflector failed and will try again']);
  const unknown = () => new NotFoundError('no such resource', { ...failed, status: 404 });
  t.state.failLists = [unknown(), unknown()];
  t.state.list = [];
  t.last().send(unknown());
  await t.clock.advance(5_000);
  expect(told()).toEqual([
    'the watch has lost its place: listing again',
    expect.stringContaining('apply its CustomResourceDefinition'),
  ]);
  const lists = t.lists.length;
  await t.aMinute('end');
  await t.aMinute('end');
  expect(t.lists).toHaveLength(lists + 1);
  expect(told()).toEqual([]);
  await t.reflector.stop();
});
