import { describe, expect, test } from '@jest/globals';
import { OrderCompleted, OrderPlaced } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench } from '@warren/service/testing';
import { eventLogService } from './index.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface Page {
  readonly events: readonly Event[];
  readonly next?: string;
}

const page = async (url: string, query: Readonly<Record<string, string>> = {}) =>
  (await ask<Page>(`${url}/events?${new URLSearchParams(query).toString()}`)).body;

const lines = [{ sku: 'tea', quantity: 1, unitPrice: 1 }];
const at = (day: number, second: number) => new Date(Date.UTC(2026, 0, day, 12, 0, second)).toISOString();
const placed = (orderId: string, total: number, currency: string, day: number): Event =>
  asEvent(OrderPlaced.create({ orderId, userId: 'u', lines, total, currency }), 0, {
    id: `placed-${orderId}`,
    aggregateId: orderId,
    schemaVersion: 2,
    timestamp: at(day, 0),
  });
const completed = (orderId: string, total: number, day: number): Event =>
  asEvent(OrderCompleted.create({ orderId, userId: 'u', total, paymentId: 'p' }), 1, {
    id: `completed-${orderId}`,
    aggregateId: orderId,
    timestamp: at(day, 30),
  });

describe('the event log', () => {
  test('keeps every event once and as it was published, also of types and versions that it does not know', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('event-log', ['#']);
    const { url } = await ground.start(eventLogService);
    const old = asEvent(
      { type: 'OrderPlaced', data: { orderId: 'o', userId: 'u', lines, total: 1 }, schemaVersion: 1 },
      0,
    );
    const strange = asEvent({ type: 'UniverseEnded', data: { with: ['a', { bang: true }] } }, 1, {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      causationId: 'cause',
    });
    await subscription.publish(old, strange, old, strange);
    await eventually(async () => (await page(url)).events.length === 2);
    await eventually(async () => (await subscription.depth()) === 0);
    expect((await page(url)).events).toEqual([old, strange]);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('keeps events of two publishers that number theirs both from 1, each once, and pages through them', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('event-log', ['#']);
    const { url } = await ground.start(eventLogService);
    const numbered = ['legacy-a', 'legacy-b', 'legacy-c'].map((source) =>
      asEvent({ type: 'UniverseEnded', data: { source } }, 0, { id: '1', source }),
    );
    await subscription.publish(...numbered, ...numbered);
    await eventually(async () => (await page(url)).events.length === 3);
    await eventually(async () => (await subscription.depth()) === 0);

    const first = await page(url, { limit: '2' });
    const rest = await page(url, { limit: '2', since: first.next ?? '' });
    const seen = [...first.events, ...rest.events].sort((a, b) => (a.source < b.source ? -1 : 1));
    expect(seen).toEqual(numbered);
  });

  test('is read by aggregate, by type, from a time on, and page by page', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('event-log', ['#']);
    const { url } = await ground.start(eventLogService);
    // Many with the same time, so that a page ends between two of them.
    const events = Array.from({ length: 25 }, (_, index) =>
      placed(`o${index}`, 1, 'EUR', 1 + Math.floor(index / 10)),
    );
    await subscription.publish(...events, completed('o3', 1, 2));
    await eventually(async () => (await page(url)).events.length === 26);
    expect((await page(url, { aggregateId: 'o3' })).events.map(({ type }) => type)).toEqual([
      'OrderPlaced',
      'OrderCompleted',
    ]);
    expect((await page(url, { type: 'OrderCompleted' })).events).toHaveLength(1);
    expect((await page(url, { since: at(3, 0) })).events).toHaveLength(5);
    expect((await page(url, { aggregateId: 'o3', type: 'OrderPlaced', since: at(1, 1) })).events).toEqual([]);

    const seen: Event[] = [];
    let pages = 0;
    for (let since: string | undefined = at(1, 0); since !== undefined; pages += 1) {
      const { events: found, next } = await page(url, { since, limit: '7' });
      seen.push(...found);
      since = next;
    }
    expect(pages).toBe(4);
    expect(seen).toHaveLength(26);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(26);
    expect(seen.map(({ timestamp }) => timestamp)).toEqual(seen.map(({ timestamp }) => timestamp).sort());
  });

  test('reports the sales by day and currency: completed orders, each once', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('event-log', ['#']);
    const { url } = await ground.start(eventLogService);
    const old = { orderId: 'o4', userId: 'u', lines, total: 3 };
    await subscription.publish(
      placed('o1', 0.1, 'EUR', 1),
      placed('o2', 0.2, 'EUR', 1),
      placed('o3', 5, 'CHF', 2),
      asEvent({ type: 'OrderPlaced', data: old, schemaVersion: 1 }, 0, {
        id: 'old',
        aggregateId: 'o4',
        timestamp: at(1, 0),
      }),
      placed('never-completed', 100, 'EUR', 1),
      completed('o1', 0.1, 1),
      completed('o2', 0.2, 1),
      completed('o2', 0.2, 1),
      completed('o3', 5, 2),
      completed('o4', 3, 2),
    );
    await eventually(async () => (await page(url)).events.length === 9);
    expect((await ask(`${url}/reports/sales?by=day`)).body).toEqual({
      by: 'day',
      sales: [
        { day: '2026-01-01', currency: 'EUR', orders: 2, total: 0.3 },
        { day: '2026-01-02', currency: 'CHF', orders: 1, total: 5 },
        { day: '2026-01-02', currency: 'EUR', orders: 1, total: 3 },
      ],
      skipped: 0,
    });
  });

  test('reports the sales without orders whose events are of a version that it does not know, and counts these', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('event-log', ['#']);
    const { url } = await ground.start(eventLogService);
    const inTheFuture = (event: Event, data: object): Event => ({ ...event, schemaVersion: 99, data });
    await subscription.publish(
      placed('o1', 1, 'EUR', 1),
      completed('o1', 1, 1),
      placed('o2', 2, 'EUR', 1),
      inTheFuture(completed('o2', 2, 1), { total: { amount: 2, currency: 'EUR' } }),
      inTheFuture(placed('o3', 3, 'EUR', 1), { price: { amount: 3, currency: 'CHF' } }),
      completed('o3', 3, 1),
      placed('o4', 4, 'EUR', 1),
      inTheFuture(completed('o4', 4, 1), { total: 400, unit: 'cent' }),
    );
    await eventually(async () => (await page(url)).events.length === 8);
    expect((await ask(`${url}/reports/sales`)).body).toEqual({
      by: 'day',
      sales: [{ day: '2026-01-01', currency: 'EUR', orders: 1, total: 1 }],
      skipped: 3,
    });
  });

  test('says what is wrong with a question', async () => {
    await using ground = await bench();
    const { url } = await ground.start(eventLogService);
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=5000', 'limit'],
      ['limit=1&limit=2', 'limit'],
      ['since=yesterday', 'since'],
    ]) {
      const answer = await ask(`${url}/events?${query ?? ''}`);
      expect(answer).toMatchObject({ status: 422, body: { errors: [{ field, in: 'query' }] } });
    }
    expect((await ask(`${url}/reports/sales?by=moon`)).status).toBe(422);
    expect((await ask(`${url}/reports/sales`)).body).toEqual({ by: 'day', sales: [], skipped: 0 });
  });
});
