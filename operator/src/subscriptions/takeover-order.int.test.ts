// As takeover.int.test.ts, of subscriptions whose order must hold across it, with both consumers running.
import { setTimeout as paused } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, testBroker } from '@warren/environment/testing';
import { following, hashingBroker, keyedPublisher, ledger } from '../testing/keyed.ts';
import { shopWorld } from '../testing/shop-world.ts';
import type { ShopWorld } from '../testing/shop-world.ts';
import {
  agree,
  claim,
  holdAfter,
  holdBeforeTheReturnIsOver,
  isAgreed,
  isSettled,
  objectsOf,
  operateToDeath,
  patience,
  release,
} from '../testing/takeover-world.ts';
import type { Held } from '../testing/takeover-world.ts';

const events = ['OrderPlaced'];
const perKey = (partitions: number) => ({ events, delivery: { ordering: 'PerKey', partitions } });
const strict = { events, delivery: { ordering: 'Strict' } };

const broker = () => hashingBroker({ testBroker, dedicatedBroker });

/** Publishes a round of every key each 200 ms. */
function publishingOn({ host }: ShopWorld, publish = keyedPublisher(host)) {
  const stop = new AbortController();
  const running = (async () => {
    while (!stop.signal.aborted) {
      await publish.round();
      await paused(200);
    }
  })();
  return {
    end: async () => {
      stop.abort();
      await running;
      return publish.published;
    },
  };
}

async function rounds({ round }: { round: () => Promise<void> }, count: number): Promise<void> {
  for (let times = 0; times < count; times += 1) await round();
}

/** Both have agreed under publishing, and the operator is held on its way. */
async function agreed(held: Held) {
  await using stack = new AsyncDisposableStack();
  const t = stack.use(await shopWorld(await broker(), { loyalty: perKey(3) }, held));
  const publish = keyedPublisher(t.host);
  await rounds(publish, 20);
  const publishing = publishingOn(t, publish);
  await agree(t, perKey(3));
  stack.move();
  return {
    ...t,
    /** The old one does not agree any more, and the operator goes on. Gives back how many were published. */
    callOff: async () => {
      await t.world.subscribe('loyalty', perKey(3));
      await eventually(() => !isAgreed(t.operator), patience);
      const published = await publishing.end();
      held.release();
      return published;
    },
  };
}

/** A consumer of the new one, as soon as it has a binding. */
const followingTheNewOne = ({ host, world }: ShopWorld, { handle }: ReturnType<typeof ledger>) =>
  eventually(() => following(host, world.state, 'points', handle).catch(() => undefined), patience);

test.concurrent(
  'each key stays in order over operators that die after each single write, both consumers running, and nothing is lost or doubled',
  async () => {
    await using t = await shopWorld(await broker(), { loyalty: perKey(2) });
    await t.operator.stop();
    const publish = keyedPublisher(t.host);
    await rounds(publish, 20);
    const book = ledger();
    await using old = await following(t.host, t.world.state, 'loyalty', book.handle);
    expect(old).toBeDefined();
    await t.world.subscribe('points', perKey(3), claim);
    await t.world.subscribe('loyalty', perKey(2), release);
    await using taking = new AsyncDisposableStack();
    let isTaken = false;
    for (let deaths = 0; ; deaths += 1) {
      await publish.round();
      const dying = await operateToDeath(t);
      await eventually(dying.isOver, patience);
      await dying.stop();
      // Its binding is there when the first pass is over.
      isTaken ||= await following(t.host, t.world.state, 'points', book.handle).then(
        (consumer) => taking.use(consumer) === consumer,
        () => false,
      );
      if (dying.died) continue;
      expect(deaths).toBeGreaterThan(15);
      break;
    }
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
    await eventually(() => book.handled.size === publish.published, patience);
    expect(book.wrong({ migrations: 0 })).toEqual([]);
    expect(book.again).toEqual([]);
  },
  600_000,
);

test.concurrent.each([
  ['Strict', 'partitions', strict, perKey(3)],
  ['partitions', 'Strict', perKey(3), strict],
])(
  'from %s to %s each key stays in order, under publishing and with both consumers running',
  async (_from, _to, before, after) => {
    await using t = await shopWorld(await broker(), { loyalty: before });
    const publish = keyedPublisher(t.host);
    await rounds(publish, 50);
    const publishing = publishingOn(t, publish);
    const book = ledger();
    await using old = await following(t.host, t.world.state, 'loyalty', book.handle);
    expect(old).toBeDefined();
    await t.world.subscribe('points', after, claim);
    await t.world.subscribe('loyalty', before, release);
    await using _ = await followingTheNewOne(t, book);
    // Before the last switch, at which there is a gap (ADR 0015).
    await eventually(
      async () => ((await t.host.api.queue('shop.loyalty.arriving'))?.messages ?? 0) > 0,
      patience,
    );
    const published = await publishing.end();
    await eventually(() => t.operator.condition('loyalty', 'Released')?.status === 'True', patience);
    await eventually(() => isSettled(t.operator, 'points'), patience);
    await eventually(() => book.handled.size === published, patience);
    expect(book.wrong({ migrations: 0 })).toEqual([]);
    expect(await objectsOf(t, 'loyalty')).toEqual([]);
  },
  300_000,
);

test.concurrent(
  'called off before anything has come to the new one, the old one has everything back, each key in order',
  async () => {
    await using t = await agreed(holdAfter('deleteQueue'));
    await eventually(
      async () => (await t.host.api.queue('shop.loyalty.partition.00')) === undefined,
      patience,
    );
    const published = await t.callOff();
    await eventually(() => isSettled(t.operator, 'loyalty'), patience);
    const book = ledger();
    await using old = await following(t.host, t.world.state, 'loyalty', book.handle);
    expect(old).toBeDefined();
    await eventually(() => book.handled.size === published, patience);
    expect(book.wrong({ migrations: 0 })).toEqual([]);
  },
  300_000,
);

test.concurrent(
  'called off when the new one has begun with what waited, it goes on to its end, each key in order',
  async () => {
    await using t = await agreed(holdBeforeTheReturnIsOver());
    const book = ledger();
    await using _ = await followingTheNewOne(t, book);
    await eventually(() => book.handled.size > 0, patience);
    const published = await t.callOff();
    await eventually(() => t.operator.resource('points')?.status?.claimedFrom === 'shop/loyalty', patience);
    await eventually(() => book.handled.size === published, patience);
    expect(book.wrong({ migrations: 0 })).toEqual([]);
  },
  300_000,
);
