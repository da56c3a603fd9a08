import { expect, jest, test } from '@jest/globals';
import { encodeEvent, OrderCompleted, OrderPlaced, shopCatalogue } from '@warren/contracts';
import type { Delivery } from '@warren/rabbitmq';
import { createDeliveryHandler } from './delivery.ts';
import { on } from './handlers.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { asEvent } from './testing/given.ts';

const consumer = { signal: new AbortController().signal };

/** A consumer of OrderCompleted, and the types that it warned of. */
function points() {
  const log = createLog('test', 'silent');
  const warn = jest.spyOn(log, 'warn');
  const handle = createDeliveryHandler({
    subscription: 'points',
    handlers: [on(OrderCompleted, () => Promise.resolve())],
    catalogue: shopCatalogue,
    metrics: createMetrics('test'),
    log,
    effects: () => {
      throw new Error('nothing is handled in these tests');
    },
  });
  return {
    deliver: async (type: string) => {
      const delivery: Delivery = {
        ...encodeEvent(asEvent({ type, data: {} })),
        queue: 'test.points',
        exchange: 'events',
        routingKey: 'any',
        redelivered: false,
        attempt: 1,
      };
      await handle(delivery, consumer);
    },
    warned: () => warn.mock.calls.map(([facts]) => (facts as { type?: unknown }).type),
  };
}

test('a type that nobody handles is acknowledged, and the log says so once', async () => {
  const { deliver, warned } = points();
  for (const type of [OrderPlaced.type, OrderPlaced.type, 'UniverseEnded', OrderPlaced.type]) {
    await deliver(type);
  }
  expect(warned()).toEqual([OrderPlaced.type, 'UniverseEnded']);
});

test('a publisher of ever new types does not fill the log', async () => {
  const { deliver, warned } = points();
  for (let index = 0; index < 150; index++) await deliver(`Universe${index}Ended`);
  expect(warned()).toHaveLength(100);
});
