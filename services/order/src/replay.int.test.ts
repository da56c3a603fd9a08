import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { OrderPlaced, shopCatalogue } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { createEventStore } from '@warren/event-store';
import { replayService } from '@warren/service';
import type { ReplayProgress, ServiceDefinition } from '@warren/service';
import { ask, openWorkbench } from '@warren/service/testing';
import mongoose from 'mongoose';
import { orderService } from './index.ts';
import { orderDecider } from './order.ts';
import { orders } from './orders.ts';

const root = join(import.meta.dirname, '../../..');
const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });
const definition = orderService as unknown as ServiceDefinition;
const lines = [{ sku: 'tea', quantity: 1, unitPrice: 2 }];

/** A log of orders in all their states, one of them in version 1 of its event; and what the read model says of it. */
async function withOrders<T>(
  url: string,
  count: number,
  work: (read: () => Promise<object[]>) => Promise<T>,
): Promise<T> {
  const connection = await mongoose.createConnection(url).asPromise();
  try {
    const make = () =>
      createEventStore({ connection, catalogue: shopCatalogue, source: 'order', projections: [orders] });
    const store = make();
    await store.init();
    const causes = { correlationId: 'c' };
    for (let index = 0; index < count; index += 1) {
      const orderId = `order-${index}`;
      const data = { orderId, userId: 'user-1', lines, total: 2, currency: 'CHF' };
      const { currency: _, ...old } = data;
      const placed =
        index === 0 ? { type: 'OrderPlaced', data: old, schemaVersion: 1 } : OrderPlaced.create(data);
      await store.append(orderId, 0, [placed], causes);
      if (index % 3 === 1)
        await store.execute(orderDecider, orderId, { kind: 'complete', paymentId: 'p' }, causes);
      if (index % 3 === 2)
        await store.execute(orderDecider, orderId, { kind: 'cancel', reason: 'no' }, causes);
    }
    // A store of its own each time: another process would not have cached where the read model is.
    return await work(() =>
      make()
        .projection(orders)
        .find({}, { sort: { id: 1 } }),
    );
  } finally {
    await connection.close();
  }
}

describe('a replay of the order service', () => {
  test('makes the same state again out of the log alone, and says how far and how fast it is', async () => {
    await using database = await testDatabase();
    await withOrders(database.url, 60, async (read) => {
      const before = await read();
      expect(before).toHaveLength(60);
      expect(before[0]).toMatchObject({ id: 'order-0', status: 'placed', currency: 'EUR' });
      // A read model that has gone wrong: what only it says must be gone afterwards.
      const connection = await mongoose.createConnection(database.url).asPromise();
      const found = await connection.db?.listCollections().toArray();
      const collection = found?.find(({ name }) => /^orders(\.\d+)?$/.test(name))?.name ?? 'orders';
      const model = connection.collection<{ _id: string }>(collection);
      await model.updateMany({}, { $set: { status: 'lost' } });
      await model.deleteOne({ _id: 'order-7' });
      await connection.close();
      expect(await read()).not.toEqual(before);

      const told: ReplayProgress[] = [];
      const last = await replayService(definition, {
        env: { MONGODB_URL: database.url, LOG_LEVEL: 'silent' },
        onProgress: (progress) => void told.push(progress),
      });
      expect(await read()).toEqual(before);
      expect(last).toMatchObject({ done: 100, total: 100 });
      expect(last.ratePerSecond).toBeGreaterThan(0);
      expect(told.at(-1)).toMatchObject({ done: 100 });
    });
  });

  test('goes on beside the running service, publishes nothing, and misses no order that is placed meanwhile', async () => {
    await using ground = await bench();
    const url = ground.env['MONGODB_URL'] ?? '';
    const running = await ground.start(orderService);
    const place = async () =>
      (await ask<{ id: string }>(`${running.url}/orders`, { body: { userId: 'user-1', lines } })).body.id;
    const ids = [await place(), await place()];
    await eventually(() => ground.spy.messages.length === 2);
    const replaying = replayService(definition, { env: { MONGODB_URL: url, LOG_LEVEL: 'silent' } });
    for (let index = 0; index < 20; index += 1) ids.push(await place());
    await replaying;
    ids.push(await place());
    for (const id of ids) {
      await eventually(async () => (await ask(`${running.url}/orders/${id}`)).status === 200);
    }
    await eventually(() => ground.spy.messages.length === ids.length);
  });

  test('is one command, which shows what it did', async () => {
    await using database = await testDatabase();
    await withOrders(database.url, 6, async (read) => {
      const before = await read();
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--conditions=warren-source', '--disable-warning=ExperimentalWarning', 'scripts/replay.ts', 'order'],
        { cwd: root, env: { ...process.env, MONGODB_URL: database.url } },
      );
      expect(stdout).toMatch(/^order: 10 of 10 commits, 100 %, \d+\/s: rebuilt orders$/m);
      expect(await read()).toEqual(before);
    });
  });

  test('of a service that nobody knows says which ones there are', async () => {
    const run = promisify(execFile)(
      process.execPath,
      ['--conditions=warren-source', 'scripts/replay.ts', 'nobody'],
      {
        cwd: root,
      },
    );
    await expect(run).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('event-log') });
  });
});
