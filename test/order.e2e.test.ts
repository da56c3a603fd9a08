/** One order through the whole shop, as a customer and as a newcomer with curl sees it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PaymentApproved, shopCatalogue, type Event } from '@warren/contracts';
import { eventually } from '@warren/environment/testing';
import { asEvent, startOtlpReceiver, type OtlpReceiver } from '@warren/service/testing';
import { get } from '../scripts/shop-client.ts';
import { serviceNames } from '../scripts/shop.ts';
import { eventuallyHolds } from './support/eventually.ts';
import { TestShop } from './support/test-shop.ts';
import { startWitness, type Witness } from './support/witness.ts';

let shop: TestShop;
let witness: Witness;
let traces: OtlpReceiver;

beforeAll(async () => {
  traces = await startOtlpReceiver();
  shop = await TestShop.start({ env: { PAYMENT_LIMIT: '500', ...traces.env } });
  witness = await startWitness(shop.broker.amqpUrl);
}, 120_000);

afterAll(async () => {
  await witness[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
  await traces[Symbol.asyncDispose]();
}, 60_000);

const eventsOf = async (query: string) =>
  (await get<{ events: Event[] }>(`${shop.url('event-log')}/events?${query}`)).events;
const typesOf = (events: readonly Event[]) => events.map(({ type }) => type);

describe('an order within the limit', () => {
  test('is completed, gives points once, and each mail is sent once', async () => {
    const ada = await shop.createUser('Ada');
    const order = await shop.placeOrder(ada.id, 29.99);
    expect(order).toMatchObject({ status: 'placed', total: 29.99, userId: ada.id });

    expect(await shop.decided(order.id)).toMatchObject({ id: order.id, status: 'completed', total: 29.99 });
    await eventually(async () => (await shop.points(ada.id)) === 29);
    await eventuallyHolds(async () => {
      const { notifications } = await get<{ notifications: { template: string }[] }>(
        `${shop.url('notification')}/notifications?userId=${ada.id}`,
      );
      expect(notifications.map(({ template }) => template).sort()).toEqual(['order-completed', 'welcome']);
    });
    // A mail about an order may overtake the welcome: they are different events.
    expect(
      shop
        .mailsTo(ada.email)
        .map(({ subject }) => subject)
        .sort(),
    ).toEqual(['Welcome to the shop', `Your order ${order.id} is complete`]);
    const { payments } = await get<{ payments: object[] }>(
      `${shop.url('payment')}/payments?orderId=${order.id}`,
    );
    expect(payments).toMatchObject([{ orderId: order.id, status: 'approved', amount: 29.99 }]);
  });

  test('is in the event log, whole and in order, and in the sales report', async () => {
    type Report = { sales: { day: string; currency: string; orders: number; total: number }[] };
    const report = async () => (await get<Report>(`${shop.url('event-log')}/reports/sales?by=day`)).sales;
    const before = (await report()).reduce((sum, { orders }) => sum + orders, 0);
    const ada = await shop.createUser('Ada');
    const order = await shop.placeOrder(ada.id, 10.5);
    await shop.decided(order.id);

    await eventuallyHolds(async () => {
      expect(typesOf(await eventsOf(`aggregateId=${order.id}`))).toEqual(['OrderPlaced', 'OrderCompleted']);
      const logged = await eventsOf(`type=OrderCompleted`);
      expect(logged.filter(({ aggregateId }) => aggregateId === order.id)).toHaveLength(1);
      const sales = await report();
      expect(sales.reduce((sum, { orders }) => sum + orders, 0)).toBe(before + 1);
      expect(sales[0]?.day).toMatch(/^\d{4}-\d{2}-\d{2}$/);
    });
    const own = await get<{ events: Event[] }>(`${shop.url('order')}/orders/${order.id}/events`);
    expect(typesOf(own.events)).toEqual(['OrderPlaced', 'OrderCompleted']);
  });
});

test('an order over the limit is cancelled with the reason, gives no points, and its mail says so', async () => {
  const bob = await shop.createUser('Bob');
  const order = await shop.placeOrder(bob.id, 500.01);
  expect(await shop.decided(order.id)).toMatchObject({
    status: 'cancelled',
    reason: 'payment declined: over the limit of 500',
  });
  await eventually(() =>
    shop.mailsTo(bob.email).some(({ subject }) => subject === `Your order ${order.id} was cancelled`),
  );
  expect(await shop.points(bob.id)).toBe(0);
});

test('a PaymentApproved that somebody else publishes completes the order, and payment itself changes nothing after', async () => {
  await shop.shop.stop('payment');
  const ada = await shop.createUser('Ada');
  const order = await shop.placeOrder(ada.id, 20);
  const data = { paymentId: `payment-${order.id}`, orderId: order.id, userId: ada.id, amount: 20 };
  const id = `by-hand-${order.id}`;
  await witness.publish(
    asEvent(PaymentApproved.create(data), 0, { id, aggregateId: data.paymentId, source: 'payment' }),
  );
  expect(await shop.decided(order.id)).toMatchObject({ status: 'completed', paymentId: data.paymentId });

  shop.shop.services.payment.start();
  await shop.shop.ready('payment');
  // Payment approves as well, when it hears of the order; the order is complete already.
  await eventuallyHolds(() => {
    const approvals = witness.events.filter(
      ({ type, aggregateId }) => type === 'PaymentApproved' && aggregateId === data.paymentId,
    );
    expect(approvals).toHaveLength(2);
    const taken = shop.records.filter(
      ({ msg, process, eventId }) =>
        msg === 'event consumed' && process === 'order' && eventId === approvals[1]?.id,
    );
    expect(taken).toHaveLength(1);
  });
  expect(
    typesOf((await get<{ events: Event[] }>(`${shop.url('order')}/orders/${order.id}/events`)).events),
  ).toEqual(['OrderPlaced', 'OrderCompleted']);
  await eventuallyHolds(async () => expect(await shop.points(ada.id)).toBe(20));
});

test('every event that was published keeps its contract, and says where it came from and why', async () => {
  const ada = await shop.createUser('Ada');
  const [completed, cancelled] = [await shop.placeOrder(ada.id, 15), await shop.placeOrder(ada.id, 501)];
  await Promise.all([shop.decided(completed.id), shop.decided(cancelled.id)]);
  const expected = [...shopCatalogue.types()].map(({ type }) => type).sort();
  await eventuallyHolds(() => {
    expect([...new Set(typesOf(witness.events))].sort()).toEqual(expected);
  });
  for (const event of witness.events) {
    expect(() => shopCatalogue.validate(event)).not.toThrow();
    expect(event.source).toBe(shopCatalogue.get(event.type)?.owner);
    expect(event.correlationId).not.toBe('');
  }
  const conversation = witness.events.filter(
    ({ data }) => (data as { orderId?: string }).orderId === completed.id,
  );
  expect(new Set(conversation.map(({ correlationId }) => correlationId)).size).toBe(1);
});

test('an order is one trace across all services, the relays and the broker included', async () => {
  const ada = await shop.createUser('Ada');
  const order = await shop.placeOrder(ada.id, 25);
  await shop.decided(order.id);
  const placed = await eventually(() => witness.events.find(({ aggregateId }) => aggregateId === order.id));
  const traceId = placed.traceparent?.split('-')[1] ?? '';

  const sent = ['order.placed', 'payment.approved', 'order.completed', 'points.earned', 'notification.sent'];
  const spans = await eventually(() => {
    const trace = traces.trace(traceId);
    const key = 'messaging.rabbitmq.destination.routing_key';
    const sends = trace.filter(({ kind }) => kind === 'PRODUCER').map(({ attributes }) => attributes[key]);
    expect(sends.sort()).toEqual(sent.toSorted());
    // The event log takes each of them; the others take what they subscribe to.
    const taken = trace
      .filter(({ kind }) => kind === 'CONSUMER')
      .map(({ service, attributes }) => `${service}: ${String(attributes[key])}`);
    expect(taken.sort()).toEqual(
      [
        ...sent.map((one) => `event-log: ${one}`),
        'payment: order.placed',
        'order: payment.approved',
        'loyalty: order.completed',
        'notification: order.completed',
      ].sort(),
    );
    return trace;
  });
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined);
  expect(roots.map(({ service, kind }) => `${service} ${kind}`)).toEqual(['order SERVER']);
  const ids = new Set(spans.map(({ spanId }) => spanId));
  expect(spans.filter(({ parentSpanId }) => parentSpanId !== undefined && !ids.has(parentSpanId))).toEqual(
    [],
  );
});

describe('health', () => {
  test.each(serviceNames)('%s is well, and names its database and its broker', async (name) => {
    const health = await get<{ status: string; details: object }>(`${shop.url(name)}/health`);
    expect(health).toMatchObject({
      status: 'ok',
      info: { mongodb: { status: 'up' }, rabbitmq: { status: 'up' } },
    });
  });

  test.each(serviceNames)('%s serves its liveness, its metrics and its OpenAPI page', async (name) => {
    const answers = await Promise.all(
      ['livez', 'readyz', 'metrics', 'openapi.json', 'docs'].map((path) =>
        fetch(`${shop.url(name)}/${path}`),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });
});
