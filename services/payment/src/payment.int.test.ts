import { describe, expect, test } from '@jest/globals';
import { OrderPlaced } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench } from '@warren/service/testing';
import { paymentService } from './index.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface Payments {
  readonly payments: readonly { readonly id: string; readonly status: string }[];
}

const lines = [{ sku: 'tea', quantity: 1, unitPrice: 1 }];
const placed = (orderId: string, total: number, id = `placed-${orderId}`): Event =>
  asEvent(OrderPlaced.create({ orderId, userId: 'user-1', lines, total, currency: 'EUR' }), 0, {
    id,
    aggregateId: orderId,
    schemaVersion: 2,
  });
const payments = async (url: string, orderId: string) =>
  (await ask<Payments>(`${url}/payments?orderId=${orderId}`)).body.payments;

describe('the payment service', () => {
  test('approves up to its limit and declines over it', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('payment', ['order.placed']);
    const { url } = await ground.start(paymentService, { PAYMENT_LIMIT: '99.99' });
    expect(await payments(url, 'o1')).toEqual([]);
    await subscription.publish(placed('o1', 99.99), placed('o2', 100));
    await eventually(() => ground.spy.messages.length >= 4);
    expect(await payments(url, 'o1')).toMatchObject([{ orderId: 'o1', status: 'approved', amount: 99.99 }]);
    expect(await payments(url, 'o2')).toMatchObject([
      { status: 'declined', reason: 'over the limit of 99.99' },
    ]);
    expect(ground.spy.events('PaymentApproved')).toMatchObject([
      {
        data: { orderId: 'o1', userId: 'user-1', amount: 99.99 },
        causationId: 'placed-o1',
        source: 'payment',
      },
    ]);
    expect(ground.spy.events('PaymentDeclined')).toMatchObject([{ data: { orderId: 'o2' } }]);
  });

  test('decides once for an order that comes again, in the same message or another', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('payment', ['order.placed']);
    await ground.start(paymentService);
    await subscription.publish(
      placed('o1', 10),
      placed('o1', 10),
      placed('o1', 10, 'placed-again'),
      placed('o2', 1),
    );
    await eventually(() => ground.spy.events('PaymentApproved').length === 2);
    await eventually(async () => (await subscription.depth()) === 0);
    expect(
      ground.spy
        .events('PaymentApproved')
        .map(({ aggregateId }) => aggregateId)
        .sort(),
    ).toEqual(['payment-o1', 'payment-o2']);
  });

  test('takes an order in version 1 of its event, which had no currency', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('payment', ['order.placed']);
    const { url } = await ground.start(paymentService);
    const data = { orderId: 'o1', userId: 'user-1', lines, total: 1 };
    await subscription.publish(
      asEvent({ type: 'OrderPlaced', data, schemaVersion: 1 }, 0, { id: 'old', aggregateId: 'o1' }),
    );
    await eventually(async () => (await payments(url, 'o1')).length === 1);
    expect(await payments(url, 'o1')).toMatchObject([{ status: 'approved', amount: 1 }]);
  });

  test('says what is wrong with a question', async () => {
    await using ground = await bench();
    const { url } = await ground.start(paymentService);
    const answer = await ask(`${url}/payments`);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'orderId', in: 'query' }] } });
  });
});
