import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import type { EventStore } from './event-store.ts';
import { RebuildSupersededError } from './errors.ts';
import type { RebuildProgress } from './rebuild.ts';
import { createRelay } from './relay.ts';
import { orders, spending } from './testing/projections.ts';
import { cancelled, cause, completed, openStore, placed } from './testing/test-store.ts';
import type { TestStore } from './testing/test-store.ts';

const projections = [orders, spending];

/** `count` orders of three users; every third is completed, every fifth cancelled. */
async function fill(store: EventStore, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const order = `o${n}`;
      const of = { userId: `user-${n % 3}`, total: n };
      await store.append(order, 0, [placed(order, of)], cause);
      if (n % 3 === 0) await store.append(order, 1, [completed(order, of)], cause);
      if (n % 5 === 0) await store.append(order, n % 3 === 0 ? 2 : 1, [cancelled(order, of)], cause);
    }),
  );
}

/** All documents of both projections, as readers see them. */
async function read({ store }: TestStore): Promise<unknown> {
  const byOrder = await store.projection(orders).find({}, { limit: 10_000 });
  const users = await Promise.all([0, 1, 2].map((n) => store.projection(spending).get(`user-${n}`)));
  return { byOrder: byOrder.map((order) => JSON.stringify(order)).sort(), users };
}

describe('a rebuild', () => {
  test('gives the same state, and repairs what was destroyed', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store, connection } = opened;
    await fill(store, 60);
    const before = await read(opened);
    await store.rebuildProjections();
    expect(await read(opened)).toEqual(before);

    const { collection } = (await connection
      .db!.collection<{ _id: string; collection: string }>('projections')
      .findOne({ _id: 'orders' }))!;
    await connection.db!.collection(collection).updateMany({}, { $set: { status: 'nonsense' } });
    await connection.db!.collection('spending.2').deleteMany({});
    expect(await read(opened)).not.toEqual(before);
    await store.rebuildProjections();
    expect(await read(opened)).toEqual(before);
  });

  test('tells how far it is and how fast', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    await fill(opened.store, 30);
    const seen: RebuildProgress[] = [];
    const last = await opened.store.rebuildProjections({
      pageSize: 10,
      onProgress: (progress) => seen.push(progress),
    });
    expect(last.done).toBe(last.total);
    expect(seen.at(-1)).toMatchObject({ done: last.done, total: last.total });
    expect(seen.map(({ done }) => done)).toEqual([...seen.map(({ done }) => done)].sort((a, b) => a - b));
    expect(seen.length).toBeGreaterThanOrEqual(4);
    for (const { ratePerSecond } of seen) expect(ratePerSecond).toBeGreaterThan(0);
  });

  test('of one projection leaves the others alone; an empty log is rebuilt to nothing', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    expect(await opened.store.rebuildProjections({ names: ['spending'] })).toMatchObject({ done: 0 });
    const names = (await opened.connection.db!.listCollections().toArray()).map(({ name }) => name);
    expect(names).toContain('spending.2');
    expect(names).not.toContain('orders.2');
  });

  test('loses nothing that is appended meanwhile, and readers never see a half', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    await using other = await openStore(database.url, { projections });
    await fill(opened.store, 60);
    const relay = createRelay({ store: other.store, publish: () => Promise.resolve(), graceMs: 0 });
    relay.start();
    try {
      const rebuilding = new AbortController();
      let appended = 0;
      const appending = (async () => {
        for (; !rebuilding.signal.aborted; appended++) {
          const store = appended % 2 ? opened.store : other.store;
          await store.append(
            `late${appended}`,
            0,
            [placed(`late${appended}`, { userId: 'user-0', total: 1 })],
            cause,
          );
        }
      })();
      const reading = (async () => {
        while (!rebuilding.signal.aborted)
          expect(await opened.store.projection(orders).count()).toBeGreaterThanOrEqual(48);
      })();
      const rebuilds: number[] = [];
      while (appended < 60) rebuilds.push((await opened.store.rebuildProjections({ pageSize: 7 })).done);
      rebuilding.abort();
      await Promise.all([appending, reading]);
      await eventually(async () => (await relay.backlog()).count === 0);
      for (const process of [opened, other]) {
        await eventually(async () => (await process.store.projection(orders).count()) === 48 + appended);
        expect(await process.store.projection(spending).get('user-0')).toMatchObject({
          orders: 20 + appended,
        });
      }
      expect(rebuilds.length).toBeGreaterThan(0);
    } finally {
      await relay.stop();
    }
  });

  test('that was stopped goes on from its place with `resume`, and starts over without', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    const { store } = opened;
    await fill(store, 60);
    const before = await read(opened);
    const total = (await store.rebuildProjections()).done;

    const interrupt = async (): Promise<void> => {
      const stopping = new AbortController();
      const onProgress = ({ done }: RebuildProgress): void => {
        if (done >= 40) stopping.abort(new Error('stopped'));
      };
      const stopped = store.rebuildProjections({ pageSize: 10, signal: stopping.signal, onProgress });
      await expect(stopped).rejects.toThrow('stopped');
    };
    const places = async (resume: boolean): Promise<number[]> => {
      const done: number[] = [];
      await store.rebuildProjections({
        pageSize: 10,
        resume,
        onProgress: (progress) => done.push(progress.done),
      });
      expect(done.at(-1)).toBe(total);
      expect(await read(opened)).toEqual(before);
      return done;
    };

    await interrupt();
    expect(await read(opened)).toEqual(before);
    expect((await places(true))[0]).toBe(50);
    await interrupt();
    expect((await places(false))[0]).toBe(10);
    expect((await places(true))[0]).toBe(10); // there is none to resume
  });

  test('is superseded by a later one, finds out at its next page, and leaves nothing behind', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, { projections });
    await using other = await openStore(database.url, { projections });
    await fill(opened.store, 40);
    const before = await read(opened);
    let superseding: Promise<unknown> | undefined;
    let pages = 0;
    const superseded = opened.store.rebuildProjections({
      pageSize: 5,
      onProgress: () => {
        pages++;
        superseding ??= other.store.rebuildProjections();
      },
    });
    await expect(superseded).rejects.toBeInstanceOf(RebuildSupersededError);
    await superseding;
    expect(pages).toBeLessThan(8);
    expect(await read(other)).toEqual(before);
    await eventually(async () => {
      expect(await read(opened)).toEqual(before);
      return true;
    });

    await other.store.rebuildProjections();
    const names = (await other.connection.db!.listCollections().toArray()).map(({ name }) => name);
    const entry = await other.connection
      .db!.collection<{ _id: string; generation: number }>('projections')
      .findOne({ _id: 'orders' });
    const { generation } = entry!;
    expect(names.filter((name) => name.startsWith('orders')).sort()).toEqual([
      `orders.${generation - 1}`,
      `orders.${generation}`,
    ]);
  });
});

describe('a projection that is new to a log with events', () => {
  test('is complete when the store is ready', async () => {
    await using database = await testDatabase();
    await using old = await openStore(database.url, { projections: [orders] });
    await fill(old.store, 30);
    await using opened = await openStore(database.url, { projections });
    expect(await opened.store.projection(spending).get('user-1')).toMatchObject({ orders: 10 });
  });

  test('is built once by replicas that start together, and all wait for it', async () => {
    await using database = await testDatabase();
    await using old = await openStore(database.url);
    await fill(old.store, 30);
    const replicas = await Promise.all([1, 2, 3, 4].map(() => openStore(database.url, { projections })));
    try {
      for (const { store } of replicas) {
        expect(await store.projection(spending).get('user-1')).toMatchObject({ orders: 10 });
        expect(await store.projection(orders).count()).toBe(24);
      }
    } finally {
      for (const replica of replicas) await replica[Symbol.asyncDispose]();
    }
  });

  test('is built again by the next start when the process that built it died', async () => {
    await using database = await testDatabase();
    await using old = await openStore(database.url);
    await fill(old.store, 30);
    await (await openStore(database.url, { projections: [orders] }))[Symbol.asyncDispose]();
    await old.connection.db!.collection<{ _id: string }>('projections').updateMany(
      {},
      {
        $set: {
          complete: false,
          building: { generation: 3, collection: 'orders.3', builder: 'dead', done: 7 },
        },
      },
    );
    await using opened = await openStore(database.url, { projections: [orders] });
    expect(await opened.store.projection(orders).count()).toBe(24);
  });
});
