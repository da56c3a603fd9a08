import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import { defineProjection } from './projection.ts';
import { createRelay } from './relay.ts';
import { orders, spending } from './testing/projections.ts';
import { cancelled, cause, completed, openStore, placed } from './testing/test-store.ts';

const projections = [orders, spending];

describe('a projection', () => {
  test('shows an append when the append returns, without what belongs to the store', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    const view = store.projection(orders);
    expect(await view.get('o')).toBeNull();
    await store.append('o', 0, [placed('o', { userId: 'ada' })], cause);
    expect(await view.get('o')).toEqual({ status: 'placed', userId: 'ada', versions: [1] });
    await store.append('o', 1, [completed('o', { userId: 'ada' }), completed('o', { userId: 'ada' })], cause);
    expect(await view.get('o')).toEqual({ status: 'completed', userId: 'ada', versions: [1, 2, 3] });
  });

  test('is found by fields, sorted, paged, counted and aggregated', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    for (const [order, userId] of [
      ['o1', 'ada'],
      ['o2', 'bob'],
      ['o3', 'ada'],
      ['o4', 'ada'],
    ] as const) {
      await store.append(order, 0, [placed(order, { userId })], cause);
    }
    await store.append('o4', 1, [cancelled('o4')], cause);
    const view = store.projection(orders);
    expect(await view.find({ userId: 'ada' })).toHaveLength(2);
    expect(await view.find({}, { sort: { userId: -1 }, skip: 1, limit: 1 })).toMatchObject([
      { userId: 'ada' },
    ]);
    expect(await view.count()).toBe(3);
    expect(await view.count({ userId: 'bob' })).toBe(1);
    expect(
      await view.aggregate([{ $group: { _id: '$userId', orders: { $sum: 1 } } }, { $sort: { _id: 1 } }]),
    ).toEqual([
      { _id: 'ada', orders: 2 },
      { _id: 'bob', orders: 1 },
    ]);
  });

  test('forgets a deleted document, and a late event does not bring it back', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    const first = await store.append('o', 0, [placed('o')], cause);
    const second = await store.append('o', 1, [cancelled('o')], cause);
    expect(await store.projection(orders).get('o')).toBeNull();
    expect(await store.outbox.ensureProjected([first, second, first])).toEqual([]);
    expect(await store.projection(orders).get('o')).toBeNull();
  });

  test('takes each event once and in order, however often and in whatever order commits are brought to it', async () => {
    await using database = await testDatabase();
    await using blind = await openStore(database.url); // appends without projecting, as a process that died does
    const commits = [];
    for (const version of [0, 1, 2, 3])
      commits.push(await blind.store.append('o', version, [placed('o')], cause));
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    const [first, second, third, fourth] = commits as [
      (typeof commits)[0],
      (typeof commits)[0],
      (typeof commits)[0],
      (typeof commits)[0],
    ];
    for (const batch of [[third], [first], [fourth, second], [first, second, third, fourth]]) {
      expect(await store.outbox.ensureProjected(batch)).toEqual([]);
    }
    expect(await store.projection(orders).get('o')).toMatchObject({ versions: [1, 2, 3, 4] });
    expect(await store.projection(spending).get('user-1')).toEqual({ total: 40, orders: 4 });
  });

  test('adds up what many aggregates say about one key, also when they say it at once', async () => {
    await using database = await testDatabase();
    await using first = await openStore(database.url, { projections });
    await using second = await openStore(database.url, { projections });
    const stores = [first.store, second.store];
    await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        stores[n % 2]!.append(`o${n}`, 0, [placed(`o${n}`, { userId: 'ada' })], cause),
      ),
    );
    expect(await first.store.projection(spending).get('ada')).toEqual({ total: 300, orders: 30 });
  });

  test('that cannot be updated fails no append: the commit stays pending, and is projected before it is marked', async () => {
    await using database = await testDatabase();
    let broken = true;
    const fragile = defineProjection<{ version: number }>({
      name: 'fragile',
      key: ({ aggregateId }) => aggregateId,
      evolve: (_, { version, aggregateId }) => {
        if (broken && aggregateId === 'bad') throw new Error('a bug');
        return { version };
      },
    });
    const errors: unknown[] = [];
    await using opened = await openStore(database.url, {
      projections: [fragile],
      onProjectionError: (error) => errors.push(error),
    });
    const { store } = opened;
    const published: string[] = [];
    const relay = createRelay({
      store,
      publish: ({ aggregateId }) => Promise.resolve(void published.push(aggregateId)),
      backoff: { initialMs: 5, maxMs: 20 },
    });
    relay.start();
    try {
      await store.append('bad', 0, [placed('bad')], cause);
      await store.append('good', 0, [placed('good')], cause);
      expect(errors).toEqual([new Error('a bug')]);
      await eventually(async () => published.length === 2 && (await relay.backlog()).count === 1);
      broken = false;
      await eventually(async () => (await relay.backlog()).count === 0);
      expect(await store.projection(fragile).get('bad')).toEqual({ version: 1 });
      expect(published.sort()).toEqual(['bad', 'good']);
    } finally {
      await relay.stop();
    }
  });

  test('that cannot read a later commit has every one before it when these are marked', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    await using blind = await openStore(database.url); // appends without projecting, as a process that died does
    await blind.store.append('o', 0, [placed('o', { userId: 'ada' })], cause);
    const { id } = await blind.store.append('o', 1, [placed('o', { userId: 'bob' })], cause);
    await blind.connection
      .db!.collection<{ _id: string }>('commits')
      .updateOne({ _id: id }, { $set: { 'events.0.schemaVersion': 99 } });
    const relay = createRelay({ store, publish: () => Promise.resolve(), graceMs: 0 });
    relay.start();
    try {
      await eventually(async () => (await relay.backlog()).count === 1);
      expect(await store.projection(spending).get('ada')).toEqual({ total: 10, orders: 1 });
      expect(await store.projection(orders).get('o')).toMatchObject({ versions: [1] });
    } finally {
      await relay.stop();
    }
  });

  test('whose unique index refuses a document fails no append, and holds up that aggregate alone', async () => {
    await using database = await testDatabase();
    const single = defineProjection<{ userId: string }>({
      name: 'single',
      key: ({ aggregateId }) => aggregateId,
      evolve: (_, { data }) => ({ userId: (data as { userId: string }).userId }),
      indexes: [{ key: { userId: 1 }, unique: true }],
    });
    const errors: unknown[] = [];
    await using opened = await openStore(database.url, {
      projections: [single],
      onProjectionError: (error) => errors.push(error),
    });
    const { store } = opened;
    await store.append('o1', 0, [placed('o1', { userId: 'ada' })], cause);
    await store.append('o2', 0, [placed('o2', { userId: 'ada' })], cause);
    await store.append('o3', 0, [placed('o3', { userId: 'bob' })], cause);
    expect(errors).toMatchObject([{ code: 11000 }]);
    const held: string[] = [];
    const relay = createRelay({
      store,
      publish: () => Promise.resolve(),
      graceMs: 0,
      backoff: { initialMs: 60_000, maxMs: 60_000 },
      observer: { held: ({ aggregateId }) => held.push(aggregateId) },
    });
    relay.start();
    try {
      await eventually(async () => held.length === 1 && (await relay.backlog()).count === 1);
      expect(held).toEqual(['o2']);
      expect(await store.projection(single).count()).toBe(2);
    } finally {
      await relay.stop();
    }
  });

  test('may not touch what belongs to the store, nor take its names', async () => {
    await using database = await testDatabase();
    const greedy = defineProjection<{ _id: string }>({
      name: 'greedy',
      key: ({ aggregateId }) => aggregateId,
      evolve: () => ({ _id: 'mine' }),
    });
    const errors: unknown[] = [];
    await using opened = await openStore(database.url, {
      projections: [greedy],
      onProjectionError: (error) => errors.push(error),
    });
    await opened.store.append('o', 0, [placed('o')], cause);
    expect(errors).toMatchObject([{ code: 'WARREN_PROJECTION_INVALID' }]);
    for (const name of ['commits', 'inbox', 'leases', 'projections', '', 'a.b', '$x', 'x'.repeat(61)]) {
      expect(() => defineProjection({ name, key: () => null, evolve: () => null })).toThrow(
        expect.objectContaining({ code: 'WARREN_PROJECTION_INVALID' }),
      );
    }
  });

  test('has the indexes that it asks for', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const indexes = await opened.connection.db!.collection('orders').indexes();
    expect(indexes.map(({ key }) => key as object)).toContainEqual({ userId: 1 });
  });
});
