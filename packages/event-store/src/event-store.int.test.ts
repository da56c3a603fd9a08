import { describe, expect, test } from '@jest/globals';
import { ContractError, OrderPlaced } from '@warren/contracts';
import { testDatabase } from '@warren/environment/testing';
import fc from 'fast-check';
import type { Decider } from './decider.ts';
import { AlreadyHandledError, AppendInvalidError, ConcurrencyError, LogCorruptError } from './errors.ts';
import { cancelled, cause, completed, newId, openStore, placed } from './testing/test-store.ts';

describe('append and read', () => {
  test('events come back in order, with versions, ids, time and causes', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url, {
      clock: () => new Date('2026-01-31T12:00:00.123Z'),
      captureTrace: () => ({ traceparent: '00-aa-bb-01' }),
    });
    const { store } = opened;
    const order = newId();
    const first = await store.append(order, 0, [placed(order), completed(order)], {
      correlationId: 'c1',
      causationId: 'm1',
    });
    await store.append(order, 2, [cancelled(order)], cause);

    expect(first).toMatchObject({ id: `${order}@1`, from: 1, to: 2 });
    const events = await store.read(order);
    expect(events.map(({ type, version }) => [type, version])).toEqual([
      ['OrderPlaced', 1],
      ['OrderCompleted', 2],
      ['OrderCancelled', 3],
    ]);
    expect(events[0]).toEqual({
      ...first.events[0],
      aggregateId: order,
      schemaVersion: 2,
      timestamp: '2026-01-31T12:00:00.123Z',
      source: 'test',
      correlationId: 'c1',
      causationId: 'm1',
      traceparent: '00-aa-bb-01',
    });
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
    expect((await store.read(order, { from: 2 })).map(({ version }) => version)).toEqual([2, 3]);
    expect(await store.read(order, { from: 4 })).toEqual([]);
    expect(await store.read('nobody')).toEqual([]);
  });

  test('aggregates are apart, whatever their ids look like', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const ids = ['a', 'a@1', 'a@1@1', 'A', 'ä', '$a.b', '日本', ' ', '💶'];
    for (const id of ids) await store.append(id, 0, [placed(id)], cause);
    for (const id of ids) expect((await store.read(id)).map(({ aggregateId }) => aggregateId)).toEqual([id]);
  });

  test('any JSON comes back as it was, or is refused before it is stored', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (addedLater) => {
        const order = newId();
        const data = { ...(placed(order).data as object), addedLater };
        try {
          await store.append(order, 0, [{ type: 'OrderPlaced', data }], cause);
        } catch (error) {
          expect(error).toBeInstanceOf(AppendInvalidError);
          expect(await store.read(order)).toEqual([]);
          return;
        }
        expect((await store.read(order))[0]?.data).toEqual(JSON.parse(JSON.stringify(data)));
      }),
      { numRuns: 200 },
    );
  });

  test('what cannot be appended is refused with a typed error, and nothing is stored', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const good = [placed('o')];
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const refused: [Promise<unknown>, new (...args: never[]) => Error][] = [
      [store.append('o', 0, [], cause), AppendInvalidError],
      [store.append('', 0, good, cause), AppendInvalidError],
      [store.append('x'.repeat(201), 0, good, cause), AppendInvalidError],
      [store.append('\ud800', 0, good, cause), AppendInvalidError],
      [store.append('o', -1, good, cause), AppendInvalidError],
      [store.append('o', 0.5, good, cause), AppendInvalidError],
      [store.append('o', Number.NaN, good, cause), AppendInvalidError],
      [store.append('o', 0, good, { correlationId: '' }), AppendInvalidError],
      [store.append('o', 0, [{ type: 'OrderPlaced', data: circular }], cause), AppendInvalidError],
      [store.append('o', 0, [{ type: 'OrderPlaced', data: undefined }], cause), AppendInvalidError],
      [store.append('o', 0, [{ type: 'OrderPlaced', data: { orderId: 'o' } }], cause), ContractError],
      [store.append('o', 0, [{ type: 'NeverHeardOf', data: {} }], cause), ContractError],
      [store.append('o', 0, [cancelled('o', { reason: 'x'.repeat(1001) })], cause), ContractError],
    ];
    for (const [append, error] of refused) await expect(append).rejects.toBeInstanceOf(error);
    expect(await store.read('o')).toEqual([]);
    expect((await store.outbox.backlog()).count).toBe(0);
  });

  test('a commit larger than a document may be is refused with a typed error', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    for (const megabytes of [16, 17, 40]) {
      const large = { ...(placed('o').data as object), addedLater: 'x'.repeat(megabytes * 1024 * 1024) };
      await expect(store.append('o', 0, [{ type: 'OrderPlaced', data: large }], cause)).rejects.toThrow(
        AppendInvalidError,
      );
    }
    expect(await store.read('o')).toEqual([]);
  });

  test('a log that somebody tore is not read as if it were whole', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store, connection } = opened;
    for (const version of [0, 1, 2]) await store.append('o', version, [placed('o')], cause);
    await connection.db!.collection<{ _id: string }>('commits').deleteOne({ _id: 'o@2' });
    await expect(store.read('o')).rejects.toThrow(LogCorruptError);
    await connection.db!.collection<{ _id: string }>('commits').deleteOne({ _id: 'o@1' });
    await expect(store.read('o')).rejects.toThrow(LogCorruptError);
    expect(await store.read('o', { from: 3 })).toHaveLength(1);
  });
});

describe('an event that was stored long ago', () => {
  test('is read at the newest version of its schema, and published as it was', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const lines = [{ sku: 'tea', quantity: 1, unitPrice: 10 }];
    const data = { orderId: 'o', userId: 'u', lines, total: 10 };
    await store.append('o', 0, [{ type: 'OrderPlaced', schemaVersion: 1, data }], cause);
    const [event] = await store.read('o');
    expect(event).toMatchObject({ schemaVersion: 2, data: { ...data, currency: 'EUR' } });
    expect(OrderPlaced.is(event!)).toBe(true);
    const { commits } = await store.outbox.pendingCommits(['o'], 10);
    expect(commits[0]?.events[0]).toMatchObject({ schemaVersion: 1, data });
    expect(commits[0]?.events[0]?.data).toEqual(data);
  });
});

describe('the expected version', () => {
  test('must be the head: neither stale, nor beyond it, nor inside of a commit', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    await using other = await openStore(database.url); // knows nothing of what the first one did
    const { store } = opened;
    await store.append('o', 0, [placed('o'), completed('o'), cancelled('o')], cause);
    for (const version of [0, 1, 2, 4, 100]) {
      for (const one of [store, other.store]) {
        const append = one.append('o', version, [cancelled('o')], cause);
        await expect(append).rejects.toMatchObject({
          name: 'ConcurrencyError',
          code: 'WARREN_CONCURRENCY',
          aggregateId: 'o',
          expectedVersion: version,
        });
      }
    }
    await other.store.append('o', 3, [cancelled('o')], cause);
    expect(await store.read('o')).toHaveLength(4);
  });

  test('has exactly one winner among many writers, and the losers get a ConcurrencyError', async () => {
    await using database = await testDatabase();
    await using first = await openStore(database.url);
    await using second = await openStore(database.url);
    const stores = [first.store, second.store];
    for (let version = 0; version < 20; version++) {
      const appends = Array.from({ length: 16 }, (_, writer) =>
        stores[writer % 2]!.append('o', version, [placed('o', { userId: `writer-${writer}` })], cause),
      );
      const outcomes = await Promise.allSettled(appends);
      const lost = outcomes.filter((outcome) => outcome.status === 'rejected');
      expect(lost).toHaveLength(15);
      for (const { reason } of lost) expect(reason).toBeInstanceOf(ConcurrencyError);
    }
    const events = await first.store.read('o');
    expect(events.map(({ version }) => version)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test('is found by `execute`, which decides again until it wins', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const counter: Decider<number, undefined> = {
      initial: 0,
      evolve: (count) => count + 1,
      decide: (_, count) => [placed('o', { total: count })],
    };
    const all = Array.from({ length: 30 }, () =>
      store.execute(counter, 'o', undefined, { ...cause, attempts: 1000 }),
    );
    const versions = (await Promise.all(all)).map(({ version }) => version).sort((a, b) => a - b);
    expect(versions).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    const totals = (await store.read('o')).map(({ data }) => (data as { total: number }).total);
    expect(totals).toEqual(Array.from({ length: 30 }, (_, index) => index));
  });
});

describe('`once`', () => {
  const once = { handler: 'h', messageId: 'm1' };

  test('lets a handler append for a message once, whatever the version and the aggregate', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    const commit = await store.append('o', 0, [placed('o')], { ...cause, once });
    for (const [aggregate, version] of [
      ['o', 0],
      ['o', 1],
      ['o', 7],
      ['other', 0],
    ] as const) {
      const again = store.append(aggregate, version, [placed(aggregate)], { ...cause, once });
      await expect(again).rejects.toBeInstanceOf(AlreadyHandledError);
      await expect(again).rejects.toMatchObject({
        code: 'WARREN_ALREADY_HANDLED',
        commit: { id: commit.id },
      });
    }
    expect(await store.findOnce(once)).toEqual(commit);
    expect(await store.read('o')).toHaveLength(1);
    expect(await store.read('other')).toEqual([]);
  });

  test('is by handler: two handlers of one message each have their effect', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    await store.append('o', 0, [placed('o')], { ...cause, once });
    await store.append('o', 1, [completed('o')], { ...cause, once: { ...once, handler: 'another' } });
    await store.append('o', 2, [completed('o')], { ...cause, once: { ...once, messageId: 'm2' } });
    await store.append('o', 3, [completed('o')], cause); // and those without a claim do not collide
    await store.append('o', 4, [completed('o')], cause);
    expect(await store.read('o')).toHaveLength(5);
    expect(await store.findOnce({ handler: 'nobody', messageId: 'm1' })).toBeUndefined();
  });

  test('has one effect when the same message is handled many times at once, and all learn of it', async () => {
    await using database = await testDatabase();
    await using first = await openStore(database.url);
    await using second = await openStore(database.url);
    const account: Decider<number, undefined> = {
      initial: 0,
      evolve: (count) => count + 1,
      decide: () => [placed('o')],
    };
    const stores = [first.store, second.store];
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        stores[n % 2]!.execute(account, `o${n % 3}`, undefined, { ...cause, once, attempts: 100 }),
      ),
    );
    expect(outcomes.filter(({ alreadyHandled }) => !alreadyHandled)).toHaveLength(1);
    expect(new Set(outcomes.map(({ aggregateId }) => aggregateId)).size).toBe(1);
    const events = await Promise.all([0, 1, 2].map((n) => first.store.read(`o${n}`)));
    expect(events.flat()).toHaveLength(1);
  });
});

describe('readAll', () => {
  test('yields every commit once, of each aggregate in order, and goes on where it stopped', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    for (let version = 0; version < 12; version++) {
      for (const order of ['a', 'ä', 'b', 'B']) await store.append(order, version, [placed(order)], cause);
    }
    const all = await collect(store.readAll({ batchSize: 7 }));
    expect(all).toHaveLength(48);
    expect(new Set(all.map(({ id }) => id)).size).toBe(48);
    for (const order of ['a', 'ä', 'b', 'B']) {
      const versions = all.filter(({ aggregateId }) => aggregateId === order).map(({ to }) => to);
      expect(versions).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    }
    for (const index of [0, 11, 12, 30, 47]) {
      const { aggregateId, to } = all[index]!;
      const rest = await collect(store.readAll({ after: { aggregateId, to } }));
      expect(rest.map(({ id }) => id)).toEqual(all.slice(index + 1).map(({ id }) => id));
    }
  });

  test('stops when its signal is aborted', async () => {
    await using database = await testDatabase();
    await using opened = await openStore(database.url);
    const { store } = opened;
    for (let version = 0; version < 3; version++) await store.append('o', version, [placed('o')], cause);
    const stopping = new AbortController();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { to } of store.readAll({ signal: stopping.signal })) {
        seen.push(to);
        stopping.abort(new Error('enough'));
      }
    })();
    await expect(reading).rejects.toThrow('enough');
    expect(seen).toEqual([1]);
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
