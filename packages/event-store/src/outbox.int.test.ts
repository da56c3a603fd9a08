import { describe, expect, test } from '@jest/globals';
import { shopCatalogue } from '@warren/contracts';
import { eventually, testDatabase } from '@warren/environment/testing';
import mongoose from 'mongoose';
import { createEventStore } from './event-store.ts';
import { createRelay } from './relay.ts';
import { cause, openStore, placed } from './testing/test-store.ts';

describe('the outbox', () => {
  test('finds pending aggregates page by page and their commits in order, and forgets what is marked', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const { outbox } = store;
    for (const order of ['b', 'a', 'c']) {
      for (const version of [0, 1, 2]) await store.append(order, version, [placed(order)], cause);
    }
    const first = await outbox.pendingAggregates({ limit: 4, minAgeMs: 0 });
    expect(first).toEqual({ aggregateIds: ['a', 'b'], next: 'b' });
    const second = await outbox.pendingAggregates({ limit: 4, minAgeMs: 0, after: 'b' });
    expect(second).toEqual({ aggregateIds: ['c'] });
    expect(await outbox.pendingAggregates({ limit: 4, minAgeMs: 60_000 })).toEqual({
      aggregateIds: [],
      next: 'b',
    });

    const { commits, more } = await outbox.pendingCommits(['c', 'a'], 5);
    expect(commits.map(({ id }) => id)).toEqual(['a@1', 'a@2', 'a@3', 'c@1', 'c@2']);
    expect(more).toBe(true);
    await outbox.mark(['a@1', 'a@2', 'nothing@1']);
    expect((await outbox.pendingCommits(['a'], 5)).commits.map(({ id }) => id)).toEqual(['a@3']);
    expect((await outbox.backlog()).count).toBe(7);
    expect(await store.read('a')).toHaveLength(3);
  });

  test('counts 10,000 of a backlog at most, in one request that has a time limit', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const at = new Date(0);
    const pending = Array.from({ length: 10_001 }, (_, n) => ({
      aggregateId: `o${n}`,
      from: 1,
      at,
      pending: true,
    }));
    await opened.connection.db!.collection('commits').insertMany(pending);
    const asked: unknown[] = [];
    const connection = await mongoose.createConnection(database.url, { monitorCommands: true }).asPromise();
    try {
      connection.getClient().on('commandStarted', ({ command }) => asked.push(command));
      const store = createEventStore({
        connection,
        catalogue: shopCatalogue,
        source: 'test',
        clock: () => new Date(7000),
      });
      expect(await store.outbox.backlog()).toEqual({ count: 10_000, oldestAgeMs: 7000 });
      expect(asked).toEqual([expect.objectContaining({ aggregate: 'commits', maxTimeMS: 1000 })]);
    } finally {
      await connection.close();
    }
  });

  test('tells the age of the oldest commit, and a clock that is far ahead hides none from the sweep', async () => {
    await using database = await testDatabase();
    let now = Date.now();
    await using opened = await openStore(database.url, { clock: () => new Date(now) });
    const { store } = opened;
    expect(await store.outbox.backlog()).toEqual({ count: 0, oldestAgeMs: 0 });
    await store.append('a', 0, [placed('a')], cause);
    now += 5000;
    await store.append('b', 0, [placed('b')], cause);
    expect(await store.outbox.backlog()).toEqual({ count: 2, oldestAgeMs: 5000 });
    expect(await store.outbox.pendingAggregates({ limit: 9, minAgeMs: 2000 })).toEqual({
      aggregateIds: ['a'],
    });
    now -= 60_000;
    expect(await store.outbox.pendingAggregates({ limit: 9, minAgeMs: 2000 })).toEqual({
      aggregateIds: ['a', 'b'],
    });
    expect((await store.outbox.backlog()).oldestAgeMs).toBe(0);
  });

  test('has one sweeper: the lease is kept by beating, taken over when the beat stops, and given back', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    await using other = await openStore(database.url);
    const ours = opened.store.outbox.sweepLease;
    const theirs = other.store.outbox.sweepLease;
    for (let beat = 0; beat < 5; beat++) {
      expect(await ours.hold('we', 0)).toBe(true);
      expect(await theirs.hold('they', 0)).toBe(false); // it saw another beat than the time before
    }
    expect(await theirs.hold('they', 60_000)).toBe(false);
    expect(await theirs.hold('they', 0)).toBe(true);
    expect(await ours.hold('we', 60_000)).toBe(false);
    await ours.release('we');
    expect(await theirs.hold('they', 60_000)).toBe(true);
    await theirs.release('they');
    expect(await ours.hold('we', 60_000)).toBe(true);
    const both = await Promise.all([theirs.hold('they', 60_000), ours.hold('we', 60_000)]);
    expect(both).toEqual([false, true]);
  });
});

test('two relays on one database publish everything, in order, mostly once', async () => {
  await using database = await testDatabase();
  await using first = await openStore(database.url);
  await using second = await openStore(database.url);
  const published: string[] = [];
  const relays = [first, second].map(({ store }) =>
    createRelay({
      store,
      pollMs: 20,
      publish: ({ aggregateId, version }) =>
        Promise.resolve(void published.push(`${aggregateId}#${version}`)),
    }),
  );
  for (const relay of relays) relay.start();
  try {
    await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        for (let version = 0; version < 10; version++) {
          const { store } = (n + version) % 2 ? first : second;
          await store.append(`o${n}`, version, [placed(`o${n}`)], cause);
        }
      }),
    );
    await eventually(async () => (await first.store.outbox.backlog()).count === 0);
  } finally {
    await Promise.all(relays.map((relay) => relay.stop()));
  }
  const firstCopies = [...new Set(published)];
  for (let n = 0; n < 10; n++) {
    expect(firstCopies.filter((id) => id.startsWith(`o${n}#`))).toEqual(
      Array.from({ length: 10 }, (_, index) => `o${n}#${index + 1}`),
    );
  }
});
