import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { OrderPlaced } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench, startOtlpReceiver, startProcess } from '@warren/service/testing';
import type { ReceivedSpan } from '@warren/service/testing';
import { paymentService } from '../../payment/src/index.ts';

const main = (service: string) => join(import.meta.dirname, `../../${service}/src/main.ts`);
const lines = [{ sku: 'tea', quantity: 1, unitPrice: 2 }];

/** `service name` of the span and of each of its parents, from the root on. */
function lineage(spans: readonly ReceivedSpan[], of: ReceivedSpan | undefined): string[] {
  if (of === undefined) return [];
  const parent = spans.find(({ spanId }) => spanId === of.parentSpanId);
  return [...lineage(spans, parent), `${of.service} ${of.name}`];
}

describe('one order', () => {
  test('is one trace across its services, their relays and the broker', async () => {
    await using receiver = await startOtlpReceiver();
    await using database = await testDatabase();
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    await ground.subscribe('order', ['payment.*']);
    await ground.subscribe('payment', ['order.placed']);
    const env = { ...ground.env, ...receiver.env };
    await using order = startProcess({ main: main('order'), env });
    await using payment = startProcess({ main: main('payment'), env: { ...env, MONGODB_URL: database.url } });
    const url = await order.listening();
    await payment.listening();
    await eventually(async () => (await ask(`${url}/readyz`)).status === 200);

    const clientSpan = 'b7ad6b7169203331';
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const placed = await ask<{ id: string }>(`${url}/orders`, {
      body: { userId: 'user-1', lines },
      headers: { traceparent: `00-${traceId}-${clientSpan}-01`, tracestate: 'vendor=1' },
    });
    expect(placed.status).toBe(202);
    await eventually(() => ground.spy.events('OrderCompleted').length === 1);
    const spans = await eventually(() => {
      const found = receiver.trace(traceId);
      // Each process sends its spans by itself, and none in order.
      return found.length === 6 && found;
    });

    const last = spans.find(({ name }) => name === 'send events:order.completed');
    expect(lineage(spans, last)).toEqual([
      'order POST /orders',
      'order send events:order.placed',
      'payment process events:order.placed:test.payment',
      'payment send events:payment.approved',
      'order process events:payment.approved:test.order',
      'order send events:order.completed',
    ]);
    expect(spans.map(({ kind }) => kind)).toEqual([
      'SERVER',
      'PRODUCER',
      'CONSUMER',
      'PRODUCER',
      'CONSUMER',
      'PRODUCER',
    ]);
    expect(spans[0]?.parentSpanId).toBe(clientSpan);
    expect(spans.every(({ failed }) => !failed)).toBe(true);

    // Current semantic conventions, and nothing of the older ones.
    expect(spans[0]?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/orders',
      'http.response.status_code': 202,
    });
    const [event] = ground.spy.events('OrderPlaced');
    expect(spans[1]?.attributes).toMatchObject({
      'messaging.system': 'rabbitmq',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'events:order.placed',
      'messaging.rabbitmq.destination.routing_key': 'order.placed',
      'messaging.message.id': event?.id,
      'messaging.message.conversation_id': event?.correlationId,
    });
    expect(spans[2]).toMatchObject({
      links: [spans[1]?.spanId],
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.destination.name': 'events:order.placed:test.payment',
        'messaging.destination.subscription.name': 'payment',
        'warren.attempt': 1,
      },
    });
    const attributes = spans.flatMap((span) => Object.keys(span.attributes));
    expect(attributes).not.toContain('messaging.destination');
    expect(attributes).not.toContain('http.method');
    // What is on the wire names its send span as the parent of whoever consumes it.
    expect(event).toMatchObject({
      traceparent: `00-${traceId}-${spans[1]?.spanId ?? ''}-01`,
      tracestate: 'vendor=1',
    });

    order.kill('SIGTERM');
    payment.kill('SIGTERM');
    expect([await order.ended(), await payment.ended()]).toEqual([0, 0]);
  });

  test('stays one trace for the others when a service on its way records nothing', async () => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    const subscription = await ground.subscribe('payment', ['order.placed']);
    await ground.start(paymentService);
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const data = { orderId: 'o1', userId: 'user-1', lines, total: 2, currency: 'EUR' };
    await subscription.publish(asEvent(OrderPlaced.create(data), 0, { traceparent }));
    const [approved] = await eventually(() => {
      const found = ground.spy.events('PaymentApproved');
      return found.length > 0 && found;
    });
    expect(approved?.traceparent).toBe(traceparent);
  });

  test('is placed and published all the same when the collector is away', async () => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    await using order = startProcess({
      main: main('order'),
      env: { ...ground.env, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' },
    });
    const url = await order.listening();
    await eventually(
      async () => (await ask(`${url}/orders`, { body: { userId: 'user-1', lines } })).status === 202,
    );
    await eventually(() => ground.spy.events('OrderPlaced').length === 1);
    order.kill('SIGTERM');
    expect(await order.ended()).toBe(0);
  });
});
