/** What the services publish and take, against the catalogue and against their subscriptions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { decodeEvent, encodeEvent, OrderPlaced, shopCatalogue, UserCreated } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { Problem } from '@warren/service';
import { asEvent } from '@warren/service/testing';
import fc from 'fast-check';
import { parse } from 'yaml';
import { ShopInMemory } from './support/shop-in-memory.ts';

const root = join(import.meta.dirname, '..');
const types = shopCatalogue.types().map(({ type }) => type);

/** Bodies near the border of what is allowed: most are accepted, and some are not. */
const money = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 100_000_000 }).map((cents) => cents / 100) },
  fc.double({ min: 0, max: 1_000_000, noNaN: true }),
);
const orderBody = fc.record({
  userId: fc.constant('user-1'),
  currency: fc.constantFrom('EUR', 'CHF'),
  lines: fc.array(
    fc.record({
      sku: fc.string({ minLength: 1 }),
      quantity: fc.integer({ min: 1, max: 10_000 }),
      unitPrice: money,
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

describe('what the services publish', () => {
  test('keeps its contract, whatever is ordered: every event that follows is of its schema and from its owner', async () => {
    let orders = 0;
    await fc.assert(
      fc.asyncProperty(orderBody, async (body) => {
        const shop = new ShopInMemory();
        shop.signUp('user-1', 'ada@example.com', 'Ada');
        try {
          await shop.order(body);
        } catch (error) {
          // What is refused is refused with the field's name, and nothing is published.
          expect(error).toBeInstanceOf(Problem);
          expect((error as Problem).status).toBe(422);
          return;
        }
        orders += 1;
        await shop.settle();
        for (const { by, event } of shop.published) {
          expect(() => shopCatalogue.validate(event)).not.toThrow();
          expect(shopCatalogue.get(event.type)?.owner).toBe(by);
          expect(decodeEvent(encodeEvent(event))).toEqual(event);
        }
        const seen = shop.published.map(({ event }) => event.type);
        expect(seen.filter((type) => type === 'OrderCompleted' || type === 'OrderCancelled')).toHaveLength(1);
        expect(seen.filter((type) => type === 'NotificationSent')).toHaveLength(2);
      }),
      { numRuns: 300 },
    );
    expect(orders).toBeGreaterThan(100);
  });

  test('is all of the catalogue: no event type is there that nobody publishes', async () => {
    const shop = new ShopInMemory();
    shop.signUp('user-1', 'ada@example.com', 'Ada');
    for (const unitPrice of [50, 5000]) {
      await shop.order({ userId: 'user-1', lines: [{ sku: 'tea', quantity: 1, unitPrice }] });
    }
    await shop.settle();
    expect([...new Set(shop.published.map(({ event }) => event.type))].sort()).toEqual([...types].sort());
  });

  test('is in the newest version', async () => {
    const shop = new ShopInMemory();
    await shop.order({ userId: 'user-1', lines: [{ sku: 'tea', quantity: 1, unitPrice: 1 }] });
    expect(shop.published[0]?.event.schemaVersion).toBe(OrderPlaced.newest);
  });
});

describe('what the services take', () => {
  const { handlers } = new ShopInMemory();

  test('is in the catalogue', () => {
    for (const { type } of Object.values(handlers).flat()) expect(types).toContain(type);
  });

  test.each(Object.keys(handlers))(
    'of %s is what its EventSubscription asks for, no more and no less',
    (service) => {
      const { spec } = parse(readFileSync(join(root, `k8s/samples/${service}.yaml`), 'utf8')) as {
        spec: { events: string[] };
      };
      expect((handlers[service] ?? []).map(({ type }) => type).sort()).toEqual([...spec.events].sort());
    },
  );

  test('is every version that was ever published, also with fields that a newer producer adds', async () => {
    const golden = join(root, 'packages/contracts/golden');
    let handled = 0;
    for (const file of readdirSync(golden)) {
      const { stored } = JSON.parse(readFileSync(join(golden, file), 'utf8')) as { stored: Event };
      const shop = new ShopInMemory();
      const { userId, orderId } = stored.data as { userId: string; orderId?: string };
      // What a service needs to have heard of before: the user, and the order that a payment is for.
      if (stored.type !== 'UserCreated') {
        const user = { userId, email: 'ada@example.com', name: 'Ada' };
        await shop.deliver(asEvent(UserCreated.create(user), 0, { id: 'user', aggregateId: userId }));
      }
      if (stored.type.startsWith('Payment') && orderId !== undefined) {
        const lines = [{ sku: 'tea', quantity: 1, unitPrice: 29.99 }];
        const placed = OrderPlaced.create({ orderId, userId, lines, total: 29.99, currency: 'EUR' });
        shop.given(asEvent(placed, 0, { aggregateId: orderId, schemaVersion: OrderPlaced.newest }));
      }
      const before = shop.published.length;
      await shop.deliver({
        ...stored,
        data: { ...(stored.data as object), addedLater: { by: 'a newer producer' } },
      });
      for (const { event } of shop.published) shopCatalogue.validate(event);
      if (shop.published.length > before) handled += 1;
    }
    // OrderPlaced 1 and 2, PaymentApproved, PaymentDeclined, UserCreated, OrderCompleted, OrderCancelled.
    expect(handled).toBe(7);
  });
});
