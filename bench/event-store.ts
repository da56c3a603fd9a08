/**
 * The event store against the driver used as directly as possible, on one database, in alternating runs.
 *
 * append: commits of one event, without projections; raw inserts the same documents without any index of its own.
 * read:   an aggregate of 1,000 events; raw gets the same documents by the same query.
 * replay: a projection is rebuilt from the log; raw only moves a cursor over it.
 * relay:  what is pending is published (to nowhere) and marked; raw reads it in batches and marks it.
 */
import { shopCatalogue } from '@warren/contracts';
import type { NewEvent } from '@warren/contracts';
import { testDatabase } from '@warren/environment/testing';
import { createEventStore, createRelay, defineProjection } from '@warren/event-store';
import type { EventStore } from '@warren/event-store';
import mongoose from 'mongoose';
import type { mongo } from 'mongoose';
import { alternate, numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';

const DURABLE = {
  writeConcern: { w: 'majority', journal: true },
  readConcern: { level: 'majority' },
} as const;
const cause = { correlationId: 'bench' };

type Db = mongo.Db;

interface Document {
  _id: string;
  aggregateId?: string;
  pending?: true;
}

const orders = defineProjection<{ events: number }>({
  name: 'orders',
  key: ({ aggregateId }) => aggregateId,
  evolve: (order) => ({ events: (order?.events ?? 0) + 1 }),
});

/** About 500 bytes as it is stored, with what belongs to it. */
function placed(orderId: string): NewEvent {
  const lines = [{ sku: 'tea'.repeat(20), quantity: 2, unitPrice: 5 }];
  return { type: 'OrderPlaced', data: { orderId, userId: 'user-1', lines, total: 10, currency: 'EUR' } };
}

/** Units a second of `work`, which does `count` of them. */
async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return count / ((performance.now() - begun) / 1000);
}

/** Runs `work` for 0 to `count` - 1, so many at once. */
async function inParallel(
  count: number,
  writers: number,
  work: (n: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: writers }, writer));
}

let made = 0;

async function append(db: Db, store: EventStore, count: number, writers: number, limits: Limits) {
  const [document] = await sample(db, store);
  const collection = db.collection<Document>('raw', DURABLE);
  // Ten for each aggregate, one after another, by one writer.
  const each = (one: (aggregateId: string, version: number) => Promise<unknown>) => (): Promise<number> => {
    const run = made++;
    return rate(count, () =>
      inParallel(Math.ceil(count / 10), writers, async (n) => {
        for (let version = 0; version < 10; version++) await one(`order-${run}-${n}`, version);
      }),
    );
  };
  const raw = each((order, version) => collection.insertOne({ ...document, _id: `${order}@${version + 1}` }));
  const ours = each((order, version) => store.append(order, version, [placed(order)], cause));
  return { unit: 'appends/s', appends: count, writers, ...(await compare(ours, raw, limits)) };
}

/** Some commits as the store writes them. */
async function sample(db: Db, store: EventStore): Promise<Document[]> {
  const order = `sample-${made++}`;
  await store.append(order, 0, [placed(order)], cause);
  return await db
    .collection<Document>('commits')
    .find({ _id: `${order}@1` })
    .toArray();
}

async function read(db: Db, store: EventStore, eventsACommit: number, limits: Limits) {
  const order = `large-${made++}`;
  for (let version = 0; version < 1000; version += eventsACommit) {
    await store.append(
      order,
      version,
      Array.from({ length: eventsACommit }, () => placed(order)),
      cause,
    );
  }
  const reads = 5;
  const collection = db.collection('commits', DURABLE);
  const raw = (): Promise<number> =>
    rate(reads, () =>
      inParallel(reads, 1, () =>
        collection
          .find({ aggregateId: order, to: { $gte: 1 } }, { batchSize: 1000 })
          .sort({ to: 1 })
          .toArray(),
      ),
    );
  const ours = (): Promise<number> => rate(reads, () => inParallel(reads, 1, () => store.read(order)));
  return { unit: 'reads/s', events: 1000, eventsACommit, ...(await compare(ours, raw, limits)) };
}

async function replay(db: Db, store: EventStore, limits: Limits) {
  const collection = db.collection('commits', DURABLE);
  const commits = await collection.countDocuments();
  const raw = (): Promise<number> =>
    rate(commits, async () => {
      for await (const _ of collection.find({}, { batchSize: 1000 }));
    });
  const ours = (): Promise<number> => rate(commits, () => store.rebuildProjections());
  return { unit: 'commits/s', commits, ...(await compare(ours, raw, limits)) };
}

async function relay(db: Db, store: EventStore, limits: Limits) {
  const collection = db.collection<Document>('commits', DURABLE);
  const commits = await collection.countDocuments();
  const pend = () => collection.updateMany({}, { $set: { pending: true } });
  const raw = async (): Promise<number> => {
    await pend();
    return await rate(commits, async () => {
      for (;;) {
        const batch = await collection.find({ pending: true }, { batchSize: 500 }).limit(500).toArray();
        if (batch.length === 0) return;
        await collection.updateMany(
          { _id: { $in: batch.map(({ _id }) => _id) } },
          { $unset: { pending: '' } },
        );
      }
    });
  };
  const ours = async (): Promise<number> => {
    await pend();
    const done = Promise.withResolvers<undefined>();
    let marked = 0;
    await using running = createRelay({
      store,
      graceMs: 0,
      publish: () => Promise.resolve(),
      observer: {
        marked: (count) => {
          if ((marked += count) >= commits) done.resolve(undefined);
        },
      },
    });
    return await rate(commits, () => {
      running.start();
      return done.promise;
    });
  };
  return { unit: 'commits/s', commits, ...(await compare(ours, raw, limits)) };
}

/** Makes the log one of so many commits, ten of each aggregate, all published. */
async function refill(db: Db, store: EventStore, commits: number): Promise<void> {
  const [document] = await sample(db, store);
  const collection = db.collection<Document>('commits');
  await collection.deleteMany({});
  const { pending: _, ...published } = document ?? {};
  for (let first = 0; first < commits; first += 1000) {
    const documents = Array.from({ length: Math.min(1000, commits - first) }, (_, index) => {
      const n = first + index;
      const aggregateId = `order-${Math.floor(n / 10)}`;
      const version = 1 + (n % 10);
      return { ...published, _id: `${aggregateId}@${version}`, aggregateId, from: version, to: version };
    });
    await collection.insertMany(documents);
  }
}

/** The medians, without the ratio of each of many rounds. */
async function compare(ours: () => Promise<number>, raw: () => Promise<number>, limits: Limits) {
  const { ratios, ...medians } = await alternate(ours, raw, limits);
  return { ...medians, rounds: ratios.length };
}

interface Limits {
  rounds: number;
  withinMs: number;
}

async function* run(options: Options): AsyncGenerator<Record<string, unknown>> {
  // Short runs in many rounds: what disturbs the machine then disturbs both alike.
  const appends = numberOption(options, 'appends', 160);
  const limits = {
    rounds: numberOption(options, 'rounds', 201),
    withinMs: (numberOption(options, 'seconds', 42) * 1000) / 6,
  };
  await using database = await testDatabase();
  const connection = await mongoose.createConnection(database.url, { autoIndex: false }).asPromise();
  const { db } = connection;
  if (!db) throw new Error('the database is not open');
  try {
    const open = async (projections: [typeof orders] | []): Promise<EventStore> => {
      const store = createEventStore({ connection, catalogue: shopCatalogue, source: 'bench', projections });
      await store.init();
      return store;
    };
    const plain = await open([]);
    yield { part: 'append, one by one', ...(await append(db, plain, Math.ceil(appends / 8), 1, limits)) };
    yield { part: 'append, 16 at once', ...(await append(db, plain, appends, 16, limits)) };
    yield { part: 'read, 1 event a commit', ...(await read(db, plain, 1, limits)) };
    yield { part: 'read, 10 events a commit', ...(await read(db, plain, 10, limits)) };
    await refill(db, plain, numberOption(options, 'relayed', 2000));
    yield { part: 'relay', ...(await relay(db, plain, limits)) };
    await refill(db, plain, numberOption(options, 'replayed', 10_000));
    yield { part: 'replay', ...(await replay(db, await open([orders]), limits)) };
  } finally {
    await connection.close();
  }
}

export const benches: Record<string, Bench> = {
  'event-store': {
    about: 'our event store against the driver',
    options: {
      appends: 'of a round; 160',
      relayed: 'events that are relayed; 2000',
      replayed: 'events that are read again; 10000',
      rounds: 'at most; 201',
      seconds: 'for all of it; 42',
    },
    run,
  },
};
