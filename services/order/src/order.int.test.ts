import { describe, expect, test } from '@jest/globals';
import { OrderPlaced, PaymentApproved, PaymentDeclined, shopCatalogue } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { createEventStore } from '@warren/event-store';
import type { EventStore } from '@warren/event-store';
import { asEvent, ask, openWorkbench } from '@warren/service/testing';
import type { Workbench } from '@warren/service/testing';
import mongoose from 'mongoose';
import { orderService } from './index.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface OrderBody {
  readonly id: string;
  readonly status: string;
  readonly total: number;
  readonly events: readonly Event[];
  readonly errors: readonly { readonly field: string }[];
}

const lines = [
  { sku: 'tea', quantity: 3, unitPrice: 0.1 },
  { sku: 'cup', quantity: 1, unitPrice: 4.99 },
];
const place = (url: string, body: unknown = { userId: 'user-1', lines }, headers = {}) =>
  ask<OrderBody>(`${url}/orders`, { body, headers });
const get = (url: string, id: string) => ask<OrderBody>(`${url}/orders/${id}`);

const facts = (orderId: string) => ({
  paymentId: `payment-${orderId}`,
  orderId,
  userId: 'user-1',
  amount: 5.29,
});
const approved = (orderId: string, id = `approved-${orderId}`): Event =>
  asEvent(PaymentApproved.create(facts(orderId)), 0, { id, aggregateId: `payment-${orderId}` });
const declined = (orderId: string, reason = 'over the limit of 1'): Event =>
  asEvent(PaymentDeclined.create({ ...facts(orderId), reason }), 0, { id: `declined-${orderId}` });

/** A process that appends to the same log, and dies before it projects or publishes anything. */
async function withStore<T>(ground: Workbench, work: (store: EventStore) => Promise<T>): Promise<T> {
  const connection = await mongoose.createConnection(ground.env['MONGODB_URL'] ?? '').asPromise();
  try {
    return await work(createEventStore({ connection, catalogue: shopCatalogue, source: 'order' }));
  } finally {
    await connection.close();
  }
}

describe('the order service', () => {
  test('accepts an order, shows it, and publishes that it was placed', async () => {
    await using ground = await bench();
    const { url } = await ground.start(orderService);
    const placed = await place(url, { userId: 'user-1', lines }, { 'X-Correlation-Id': 'visit-1' });
    expect(placed).toMatchObject({
      status: 202,
      body: { status: 'placed', total: 5.29, currency: 'EUR', lines },
    });
    const { id } = placed.body;
    expect(placed.headers.get('location')).toBe(`/orders/${id}`);
    expect(await get(url, id)).toMatchObject({ status: 200, body: placed.body });
    const [event] = await eventually(() => {
      const found = ground.spy.events('OrderPlaced');
      return found.length > 0 && found;
    });
    expect(event).toMatchObject({
      type: 'OrderPlaced',
      schemaVersion: 2,
      source: 'order',
      aggregateId: id,
      version: 1,
      correlationId: 'visit-1',
      data: { orderId: id, userId: 'user-1', total: 5.29, currency: 'EUR' },
    });
    expect(event?.causationId).toBeDefined();
  });

  test('completes an order when it is paid, once, however often it hears so', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*']);
    const { url } = await ground.start(orderService);
    const { id } = (await place(url)).body;
    // The same message twice, and the same fact in another message.
    await subscription.publish(approved(id), approved(id), approved(id, 'approved-again'));
    await eventually(async () => (await get(url, id)).body.status === 'completed');
    await eventually(async () => {
      const { text } = await ask(`${url}/metrics`);
      const counts = [...text.matchAll(/^warren_events_consumed_total\{.*\} (\d+)$/gm)];
      return counts.reduce((sum, match) => sum + Number(match[1]), 0) === 3;
    });
    const { body } = await ask<OrderBody>(`${url}/orders/${id}/events`);
    expect(body.events.map(({ type, version }) => [type, version])).toEqual([
      ['OrderPlaced', 1],
      ['OrderCompleted', 2],
    ]);
    expect(body.events[1]).toMatchObject({ data: { paymentId: `payment-${id}`, total: 5.29 } });
    await eventually(() => ground.spy.events('OrderCompleted').length === 1);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('cancels an order when it is not paid, and says why', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*']);
    const { url } = await ground.start(orderService);
    const { id } = (await place(url)).body;
    await subscription.publish(declined(id, 'x'.repeat(1000)));
    await eventually(async () => (await get(url, id)).body.status === 'cancelled');
    expect((await get(url, id)).body).toMatchObject({
      reason: expect.stringMatching(/^payment declined: xxx/),
    });
    await eventually(() => ground.spy.events('OrderCancelled').length === 1);
  });

  test('knows an order that was placed but not yet projected or published', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*']);
    await (await ground.start(orderService)).stop();
    const data = { orderId: 'order-1', userId: 'user-1', lines, total: 5.29, currency: 'EUR' };
    await withStore(ground, (store) =>
      store.append('order-1', 0, [OrderPlaced.create(data)], { correlationId: 'c' }),
    );
    await subscription.publish(approved('order-1'));
    const { url } = await ground.start(orderService);
    await eventually(async () => (await get(url, 'order-1')).body.status === 'completed');
    expect((await get(url, 'order-1')).body).toMatchObject({ total: 5.29, lines });
    const own = () => ground.spy.events().filter(({ source }) => source === 'order');
    await eventually(() => own().length === 2);
    expect(own().map(({ type }) => type)).toEqual(['OrderPlaced', 'OrderCompleted']);
  });

  test('reads an order that was stored in version 1 of its event', async () => {
    await using ground = await bench();
    const { url } = await ground.start(orderService);
    const data = { orderId: 'order-1', userId: 'user-1', lines, total: 5.29 };
    await withStore(ground, (store) =>
      store.append('order-1', 0, [{ type: 'OrderPlaced', data, schemaVersion: 1 }], { correlationId: 'c' }),
    );
    // The relay finds it, projects it, and publishes it as it was stored.
    await eventually(async () => (await get(url, 'order-1')).status === 200);
    expect((await get(url, 'order-1')).body).toMatchObject({ currency: 'EUR', total: 5.29 });
    const { body } = await ask<OrderBody>(`${url}/orders/order-1/events`);
    expect(body.events[0]).toMatchObject({ schemaVersion: 2, data: { currency: 'EUR' } });
    await eventually(() => ground.spy.messages.length === 1);
    expect(ground.spy.events()[0]).toMatchObject({ schemaVersion: 1, data });
  });

  test('sets aside what it hears about an order that is closed the other way', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*']);
    const { url } = await ground.start(orderService);
    const { id } = (await place(url)).body;
    await subscription.publish(declined(id));
    await eventually(async () => (await get(url, id)).body.status === 'cancelled');
    await subscription.publish(approved(id));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({
      'warren-failure-code': 'WARREN_REFUSED',
      'warren-failure-attempts': 1,
    });
    expect((await get(url, id)).body.status).toBe('cancelled');
  });

  test('tries again what it hears about an order that it does not know, and sets it aside at last', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*'], { attempts: 2 });
    await ground.start(orderService);
    await subscription.publish(approved('nobody'));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({
      'warren-failure-code': 'WARREN_RETRY_LATER',
      'warren-failure-attempts': 2,
    });
  });

  test('completes an order whose payment it heard of first', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('order', ['payment.*'], { attempts: 20 });
    const { url } = await ground.start(orderService);
    await subscription.publish(approved('order-1'));
    await eventually(async () =>
      (await ask(`${url}/metrics`)).text.includes('warren_consumer_retries_total{'),
    );
    const data = { orderId: 'order-1', userId: 'user-1', lines, total: 5.29, currency: 'EUR' };
    await withStore(ground, (store) =>
      store.append('order-1', 0, [OrderPlaced.create(data)], { correlationId: 'c' }),
    );
    await eventually(async () => (await get(url, 'order-1')).body.status === 'completed');
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('honours an Idempotency-Key', async () => {
    await using ground = await bench();
    const { url } = await ground.start(orderService);
    const key = { 'Idempotency-Key': 'key-1' };
    const first = await place(url, { userId: 'user-1', lines }, key);
    expect(await place(url, { userId: 'user-1', lines }, key)).toMatchObject({
      status: 202,
      body: first.body,
    });
    expect(await place(url, { userId: 'user-2', lines }, key)).toMatchObject({ status: 422 });
    await eventually(() => ground.spy.messages.length === 1);
  });

  test('names what is wrong with a request', async () => {
    await using ground = await bench();
    const { url } = await ground.start(orderService);
    const wrong = await place(url, { lines: [{ sku: '', quantity: 0, unitPrice: 1.005 }], currency: 'euro' });
    expect(wrong).toMatchObject({ status: 422, type: 'application/problem+json' });
    expect(wrong.body.errors.map(({ field }) => field).sort()).toEqual([
      'currency',
      'lines[0].quantity',
      'lines[0].sku',
      'lines[0].unitPrice',
      'userId',
    ]);
    expect((await place(url, '{"userId":')).status).toBe(400);
    expect((await place(url, 'x'.repeat(200_000))).status).toBe(413);
    expect((await place(url, 'a=b', { 'Content-Type': 'text/plain' })).status).toBe(415);
    expect(await get(url, 'nobody')).toMatchObject({ status: 404, body: { reason: 'not-found' } });
    expect((await ask(`${url}/orders/nobody/events`)).status).toBe(404);
    expect((await ask(`${url}/orders`)).status).toBe(405);
    expect(ground.spy.messages).toHaveLength(0);
  });
});
