import { expect, jest, test } from '@jest/globals';
import { encodeEvent, OrderCompleted, OrderPlaced, shopCatalogue } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import type { Delivery } from '@warren/rabbitmq';
import { createDeliveryHandler } from './delivery.ts';
import type { DeliveryEffects } from './delivery.ts';
import { on } from './handlers.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { asEvent } from './testing/given.ts';

const consumer = { signal: new AbortController().signal };
const nothingHandled: DeliveryEffects = () => {
  throw new Error('nothing is handled in these tests');
};

const deliveryOf = (event: Event): Delivery => ({
  ...encodeEvent(event),
  queue: 'test.points',
  exchange: 'events',
  routingKey: 'any',
  redelivered: false,
  attempt: 1,
});

/** A consumer of OrderCompleted, and the types that it warned of. */
function points(effects = nothingHandled) {
  const log = createLog('test', 'silent');
  const warn = jest.spyOn(log, 'warn');
  const metrics = createMetrics('test');
  const handle = createDeliveryHandler({
    subscription: 'points',
    handlers: [on(OrderCompleted, () => Promise.resolve())],
    catalogue: shopCatalogue,
    metrics,
    log,
    effects,
  });
  return {
    deliver: (event: Event) => handle(deliveryOf(event), consumer),
    outcomes: async () => (await metrics.page()).body.match(/(?<=outcome=")\w+/g),
    warned: () => warn.mock.calls.map(([facts]) => (facts as { type?: unknown }).type),
  };
}

test('a type that nobody handles is acknowledged, and the log says so once', async () => {
  const { deliver, warned } = points();
  for (const type of [OrderPlaced.type, OrderPlaced.type, 'UniverseEnded', OrderPlaced.type]) {
    await deliver(asEvent({ type, data: {} }));
  }
  expect(warned()).toEqual([OrderPlaced.type, 'UniverseEnded']);
});

test('a publisher of ever new types does not fill the log', async () => {
  const { deliver, warned } = points();
  for (let index = 0; index < 150; index++)
    await deliver(asEvent({ type: `Universe${index}Ended`, data: {} }));
  expect(warned()).toHaveLength(100);
});

test('what the consumer takes for permanent is counted as rejected', async () => {
  const { deliver, outcomes } = points(() => {
    throw Object.assign(new Error('never'), { code: 'WARREN_PERMANENT' });
  });
  const data = { orderId: 'o1', userId: 'u1', total: 1, paymentId: 'p1' };
  await expect(deliver(asEvent(OrderCompleted.create(data)))).rejects.toThrow('never');
  expect(await outcomes()).toEqual(['rejected']);
});
