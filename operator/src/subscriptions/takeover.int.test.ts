// Most of the time is waiting for counts of queues: each test waits on a virtual host of its own, beside the others.
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { ManagementError } from '@warren/rabbitmq';
import { isReady } from '../testing/folder-operator.ts';
import { livePublishing } from '../testing/live-publishing.ts';
import { shopWorld } from '../testing/shop-world.ts';
import {
  agree,
  claim,
  events,
  holdAfter,
  holdBefore,
  holdBeforeTheReturnIsOver,
  ids,
  inboxOf,
  isAgreed,
  isSettled,
  objectsOf,
  patience,
  publishMany,
  release,
} from '../testing/takeover-world.ts';

test.concurrent(
  'both consent: queue, messages and dead letters go to the new name, and the old one has nothing left to delete',
  async () => {
    await using t = await shopWorld(await testBroker(), { loyalty: { events } });
    const { operator } = t;
    await t.host.publish('order.placed', ['a', 'b']);
    await t.host.publisher.publish({
      exchange: 'failed_events',
      routingKey: 'shop.loyalty',
      content: Buffer.from('dead'),
    });
    await t.world.subscribe('points', { events }, claim);
    await eventually(() => operator.condition('points', 'Ready')?.reason === 'ClaimPending', patience);
    expect(operator.condition('points', 'Ready')?.message).toContain(
      'annotate shop/loyalty with warren.events/release-to=shop/points',
    );
    expect(await t.host.api.queue('shop.points')).toBeUndefined();

    const publishing = livePublishing(t.host, 0);
    await t.world.subscribe('loyalty', { events }, release);
    await eventually(() => operator.condition('loyalty', 'Released')?.status === 'True', patience);
    await eventually(
      () => isReady(operator, 'points') && operator.condition('points', 'TopologyInSync')?.status === 'True',
      patience,
    );
    const published = await publishing.end();
    expect(operator.resource('points')?.status).toMatchObject({ claimedFrom: 'shop/loyalty' });
    expect(operator.resource('points')?.status?.migration).toBeUndefined();
    expect(operator.condition('loyalty', 'Ready')).toMatchObject({ status: 'False', reason: 'Released' });
    expect(await objectsOf(t, 'loyalty')).toEqual([]);

    await t.world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined, patience);
    const seen = await inboxOf(t, 'points');
    await eventually(() => seen.length >= published + 2, patience);
    expect(seen.toSorted()).toEqual(['a', 'b', ...ids(published)].sort());
    await eventually(async () => (await t.host.api.queue('shop.points.dead'))?.messages === 1, patience);
    const told = (name: string) =>
      operator.told.filter((story) => story.name === name).map(({ type, reason }) => `${type} ${reason}`);
    expect(told('points')).toEqual(['Warning ClaimPending', 'Normal TakeoverStarted', 'Normal TakenOver']);
    expect(told('loyalty')).toEqual([
      'Normal Applied',
      'Normal Ready',
      'Normal Releasing',
      'Normal Released',
    ]);
  },
  200_000,
);

test.concurrent(
  'the order is kept for one consumer of a Strict queue, whatever is published meanwhile',
  async () => {
    const strict = { events, delivery: { ordering: 'Strict' } };
    await using t = await shopWorld(await testBroker(), { loyalty: strict });
    const { operator } = t;
    await publishMany(t, 1_000);
    const publishing = livePublishing(t.host, 1_000, { batch: 1, everyMs: 100 });
    await agree(t, strict);
    await eventually(() => operator.condition('points', 'Ready')?.reason === 'TakingOver', patience);
    const box = await eventually(() => inboxOf(t, 'points').catch(() => undefined), patience);
    await eventually(() => operator.condition('loyalty', 'Released')?.status === 'True', patience);
    const published = await publishing.end();
    await eventually(() => box.length >= published, patience);
    expect(box).toEqual(ids(published));
  },
  200_000,
);

test.concurrent.each(['the consent is taken back', 'the claim is taken back', 'the new one is deleted'])(
  'when %s in the middle, the old one has everything back',
  async (how) => {
    const held = holdAfter('deleteQueue');
    await using t = await shopWorld(await testBroker(), { loyalty: { events } }, held);
    const { operator } = t;
    await publishMany(t, 500);
    const publishing = livePublishing(t.host, 500, { everyMs: 50 });
    await agree(t);
    await eventually(async () => (await t.host.api.queue('shop.loyalty')) === undefined, patience);
    if (how === 'the new one is deleted') await t.world.unsubscribe('points');
    else if (how === 'the claim is taken back') await t.world.subscribe('points', { events });
    else await t.world.subscribe('loyalty', { events });
    await eventually(() => !isAgreed(operator), patience);
    held.release();
    await eventually(() => isSettled(operator, 'loyalty'), patience);
    if (how === 'the claim is taken back') await eventually(() => isSettled(operator, 'points'), patience);
    const published = await publishing.end();
    const seen = await inboxOf(t, 'loyalty');
    await eventually(() => seen.length >= published, patience);
    expect(seen.toSorted()).toEqual(ids(published).sort());
    if (how === 'the new one is deleted') {
      await eventually(() => operator.resource('points') === undefined, patience);
      expect(await objectsOf(t, 'points')).toEqual([]);
    } else if (how === 'the consent is taken back') {
      await eventually(() => operator.condition('points', 'Ready')?.reason === 'ClaimPending', patience);
      expect(await t.host.keysOf('shop.points')).toEqual([]);
    }
    expect(operator.condition('loyalty', 'Released')?.status).not.toBe('True');
  },
  300_000,
);

test.concurrent(
  'deleted when it takes its events itself, the new one has everything first, and then goes as its deletionPolicy says',
  async () => {
    const held = holdBefore('deleteExchange');
    await using t = await shopWorld(await testBroker(), { loyalty: { events } }, held);
    const { operator } = t;
    await publishMany(t, 500);
    const publishing = livePublishing(t.host, 500, { everyMs: 50 });
    await agree(t);
    await eventually(async () => (await t.host.keysOf('shop.points')).length === 2, patience);
    const published = await publishing.end();
    const seen = await inboxOf(t, 'points');
    await t.world.unsubscribe('points');
    await eventually(() => !isAgreed(operator), patience);
    held.release();
    await eventually(() => operator.condition('loyalty', 'Released')?.status === 'True', patience);
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
    await eventually(() => operator.resource('points') === undefined, patience);
    expect(seen.toSorted()).toEqual(ids(published).sort());
    expect(await objectsOf(t, 'points')).toEqual([]);
  },
  200_000,
);

test.concurrent.each([
  ['gives everything back first, where that goes well', 600_000],
  ['leaves its queues to whoever looks for them, where it does not', 1],
])(
  'deleted with its whole namespace in the middle, the new one %s: no message goes with it',
  async (_what, abandonAfterMs) => {
    const held = holdBeforeTheReturnIsOver();
    await using t = await shopWorld(await testBroker(), { loyalty: { events } }, { ...held, abandonAfterMs });
    const { operator } = t;
    operator.source.namespaceIsEnding = () => Promise.resolve(true);
    const messagesIn = async (name: string) => (await t.host.api.queue(`shop.${name}`))?.messages ?? 0;
    await publishMany(t, 500);
    await agree(t, { events, deletionPolicy: 'Delete' });
    await eventually(async () => (await messagesIn('points')) > 0, patience);
    await t.world.unsubscribe('points');
    await eventually(() => !isAgreed(operator), patience);
    held.release();
    await eventually(() => operator.resource('points') === undefined, patience);
    await eventually(() => isSettled(operator, 'loyalty'), patience);
    await eventually(
      async () => (await messagesIn('points')) + (await messagesIn('loyalty')) >= 500,
      patience,
    );
    const end = operator.told.findLast(({ name }) => name === 'points');
    if (end?.reason === 'Deleted') expect(await messagesIn('loyalty')).toBe(500);
    else
      expect(end).toMatchObject({
        reason: 'Abandoned',
        message: expect.stringContaining('the queues shop.points and shop.points.dead may be left'),
      });
    expect(end?.reason).toBe(abandonAfterMs === 1 ? 'Abandoned' : 'Deleted');
  },
  200_000,
);

test.concurrent(
  'released to another one in the middle, the first gives everything back, and then the other takes over',
  async () => {
    const held = holdBeforeTheReturnIsOver();
    await using t = await shopWorld(await testBroker(), { loyalty: { events } }, held);
    const { operator } = t;
    await publishMany(t, 500);
    await t.world.subscribe('other', { events }, claim);
    await agree(t);
    await eventually(async () => ((await t.host.api.queue('shop.points'))?.messages ?? 0) > 0, patience);
    const toOther = { annotations: { 'warren.events/release-to': 'shop/other' } };
    await t.world.subscribe('loyalty', { events }, toOther);
    await eventually(() => !isAgreed(operator), patience);
    held.release();
    await eventually(() => isSettled(operator, 'other'), patience);
    await eventually(async () => (await t.host.api.queue('shop.other'))?.messages === 500, patience);
    expect(operator.resource('other')?.status?.claimedFrom).toBe('shop/loyalty');
    expect(operator.resource('points')?.status?.migration).toBeUndefined();
    expect(operator.condition('points', 'Ready')?.reason).toBe('ClaimPending');
    expect((await t.host.api.queue('shop.points'))?.messages).toBe(0);
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
  },
  200_000,
);

test.concurrent(
  'an old one that is made anew when it is too late waits, and begins with new queues when the takeover is over',
  async () => {
    await using t = await shopWorld(await testBroker(), { loyalty: { events } });
    const { operator } = t;
    await publishMany(t, 500);
    await agree(t);
    await eventually(() => operator.resource('points')?.status?.migration?.phase === 'Finishing', patience);
    operator.calls.before = (call) => {
      if (call === 'deleteQueue') throw new ManagementError('WARREN_BROKER_FAILED', 'any call', 'not yet');
    };
    await t.world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined, patience);
    await t.world.subscribe('loyalty', { events });
    await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.reason === 'Releasing', patience);
    await t.host.publish('order.placed', ['during']);
    expect(await t.host.api.queue('shop.loyalty')).toBeUndefined();
    operator.calls.before = () => undefined;
    await eventually(() => isSettled(operator, 'points'), patience);
    await eventually(() => isSettled(operator, 'loyalty'), patience);
    expect(await t.host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.*']);
    await t.host.publish('order.placed', ['after']);
    const [points, loyalty] = [await inboxOf(t, 'points'), await inboxOf(t, 'loyalty')];
    await eventually(() => points.length === 502 && loyalty.length === 1, patience);
    expect(points.toSorted()).toEqual(['after', 'during', ...ids(500)].sort());
    expect(loyalty).toEqual(['after']);
    const ends = operator.told.filter(({ reason }) => reason === 'TakenOver');
    expect(ends).toHaveLength(1);
  },
  200_000,
);

test.concurrent(
  'the old one may be deleted in the middle: the new one goes on',
  async () => {
    await using t = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
    const { operator } = t;
    await publishMany(t, 500);
    await t.world.subscribe('points', { events }, claim);
    await t.world.subscribe('loyalty', { events, deletionPolicy: 'Delete' }, release);
    await eventually(() => operator.resource('points')?.status?.migration?.phase === 'Draining', patience);
    await t.world.unsubscribe('loyalty');
    await eventually(() => operator.resource('loyalty') === undefined, patience);
    await eventually(() => isSettled(operator, 'points'), patience);
    await eventually(async () => (await t.host.api.queue('shop.points'))?.messages === 500, patience);
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
  },
  200_000,
);
