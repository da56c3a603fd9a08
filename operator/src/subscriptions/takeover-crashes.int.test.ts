import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { livePublishing } from '../testing/live-publishing.ts';
import { spawnOperator } from '../testing/operator-process.ts';
import { shopWorld } from '../testing/shop-world.ts';
import {
  agree,
  events,
  ids,
  inboxOf,
  isSettled,
  objectsOf,
  operateToDeath,
  patience,
  publishMany,
} from '../testing/takeover-world.ts';

test.concurrent(
  'operators that die after each single write are followed by one that finishes, and nothing is lost or doubled',
  async () => {
    await using t = await shopWorld(await testBroker(), { loyalty: { events } });
    await t.operator.stop();
    await agree(t);
    let published = 0;
    const publish = async (count: number) => {
      await t.host.publish(
        'order.placed',
        Array.from({ length: count }, (_, index) => `e-${published + index}`),
      );
      published += count;
    };
    for (let deaths = 0; ; deaths += 1) {
      await publish(5);
      const dying = await operateToDeath(t);
      await eventually(dying.isOver, patience);
      await dying.stop();
      if (dying.died) continue;
      expect(deaths).toBeGreaterThan(15);
      break;
    }
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
    const seen = await inboxOf(t, 'points');
    await eventually(() => seen.length >= published, patience);
    expect(seen.toSorted()).toEqual(ids(published).sort());
  },
  600_000,
);

test.concurrent(
  'a process that is killed in each phase, under publishing and at last consuming, is followed by one that goes on from there',
  async () => {
    await using t = await shopWorld(await testBroker(), { loyalty: { events } });
    await t.operator.stop();
    await publishMany(t, 5_000);
    const publishing = livePublishing(t.host, 5_000);
    await agree(t);
    const there = async () =>
      new Map((await t.host.api.inventory()).queues.map((queue) => [queue.name, queue.messages ?? 0]));
    const reached: Record<string, () => Promise<boolean>> = {
      'the points are made': async () => (await there()).has('shop.loyalty.arriving'),
      'messages are on their way out': async () => ((await there()).get('shop.loyalty.waited') ?? 0) > 0,
      'the old queue is gone': async () => !(await there()).has('shop.loyalty'),
      'messages are in the new queue': async () => ((await there()).get('shop.points') ?? 0) > 0,
    };
    const killWhen = async (isReached: () => Promise<boolean>) => {
      await using operator = spawnOperator(['--folder', t.world.folder, '--state', t.world.state]);
      await eventually(isReached, patience);
      expect(await operator.kill('SIGKILL')).toBe('SIGKILL');
    };
    for (const isReached of Object.values(reached)) await killWhen(isReached);
    const taken = await inboxOf(t, 'points');
    await eventually(() => taken.length > 0, patience);
    // The new queue takes its events itself.
    await killWhen(async () => (await t.host.keysOf('shop.points')).length === 2);
    const last = await t.operate();
    await eventually(() => last.condition('loyalty', 'Released')?.status === 'True', patience);
    await eventually(() => isSettled(last, 'points'), patience);
    const published = await publishing.end();
    await eventually(() => new Set(taken).size === published, patience);
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
  },
  600_000,
);
