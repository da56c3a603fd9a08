/** What must not get slower as a log grows is done by an index, and by a number of requests that does not grow. */
import { expect, test } from '@jest/globals';
import { shopCatalogue } from '@warren/contracts';
import { testDatabase } from '@warren/environment/testing';
import mongoose from 'mongoose';
import { createEventStore } from './event-store.ts';
import { cause, openStore, placed } from './testing/test-store.ts';
import type { TestStore } from './testing/test-store.ts';

/** An aggregate of 5,000 events in 500 commits, and 200 others, all published. */
async function fill({ store }: TestStore): Promise<void> {
  for (let version = 0; version < 5000; version += 10) {
    await store.append(
      'large',
      version,
      Array.from({ length: 10 }, () => placed('large')),
      cause,
    );
  }
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => store.append(`o${n}`, 0, [placed(`o${n}`)], cause)),
  );
  const { commits } = await store.outbox.pendingCommits(['large'], 1000);
  await store.outbox.mark(commits.map(({ id }) => id));
  await store.outbox.mark(Array.from({ length: 190 }, (_, n) => `o${n}@1`));
}

test('the hot queries use their indexes, and the requests of an append do not grow with its aggregate', async () => {
  await using database = await testDatabase();
  await using opened = await openStore(database.url);
  await fill(opened);
  const commits = opened.connection.db!.collection('commits');

  const plans = [
    ['aggregate', commits.find({ aggregateId: 'o7', to: { $gte: 1 } }).sort({ to: 1 })],
    ['aggregate', commits.find({ aggregateId: 'large', to: 5000 })],
    ['once', commits.find({ 'once.handler': 'h', 'once.messageId': 'm' })],
    [
      'pending',
      commits.find({ pending: true, aggregateId: { $in: ['large'] } }).sort({ aggregateId: 1, from: 1 }),
    ],
    [
      'pending',
      commits.find({ pending: true, aggregateId: { $in: ['o1', 'o195'] } }).sort({ aggregateId: 1, from: 1 }),
    ],
    ['pending', commits.find({ pending: true, aggregateId: { $gt: '' } }).sort({ aggregateId: 1, from: 1 })],
    [
      'pending',
      commits.aggregate([{ $match: { pending: true, aggregateId: { $gt: '' } } }, { $limit: 10_000 }]),
    ],
  ] as const;
  for (const [index, cursor] of plans) expect(indexesIn(await cursor.explain())).toEqual([index]);

  const requests: string[] = [];
  const connection = await mongoose.createConnection(database.url, { monitorCommands: true }).asPromise();
  try {
    const concerns: unknown[] = [];
    connection.getClient().on('commandStarted', ({ commandName, command }) => {
      requests.push(commandName);
      if (commandName === 'insert') concerns.push(command['writeConcern']);
    });
    const store = createEventStore({ connection, catalogue: shopCatalogue, source: 'test' });
    const requestsOf = async (append: () => Promise<unknown>): Promise<string[]> => {
      requests.length = 0;
      await append();
      return [...requests];
    };
    expect(await requestsOf(() => store.append('new', 0, [placed('new')], cause))).toEqual(['insert']);
    expect(concerns).toEqual([{ w: 'majority', j: true, wtimeout: 5000 }]);
    expect(await requestsOf(() => store.append('large', 5000, [placed('large')], cause))).toEqual([
      'find',
      'insert',
    ]);
    expect(await requestsOf(() => store.append('large', 5001, [placed('large')], cause))).toEqual(['insert']);
    const reading = await requestsOf(async () => expect(await store.read('large')).toHaveLength(5002));
    expect(reading).toEqual(['find']);
  } finally {
    await connection.close();
  }
});

/** The indexes that a plan uses, in MongoDB's way or DocumentDB's of showing it; not those that were considered. */
function indexesIn(plan: unknown): string[] {
  const found = new Set<string>();
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, field] of Object.entries(value)) {
      if (name === 'rejectedPlans' || name === 'IndexCosts') continue;
      if (typeof field === 'string' && /^index ?name$/i.test(name)) found.add(field);
      else look(field);
    }
  };
  look(plan);
  return [...found];
}
