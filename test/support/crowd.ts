/** Many orders at once, and the check that each of them took effect once. */
import { expect } from '@jest/globals';
import type { Event } from '@warren/contracts';
import { get, type Order, type User } from '../../scripts/shop-client.ts';
import { eventuallyHolds } from './eventually.ts';
import type { TestShop } from './test-shop.ts';

export interface Crowd {
  readonly users: readonly User[];
  readonly orders: readonly Order[];
}

const LIMIT = 1000;
/** Every fourth order is over the payment limit. */
const totals = [12.5, 30, 7.99, LIMIT + 1];

/** `count` orders of a few users, `parallel` requests at a time. */
export async function placeOrders(
  shop: TestShop,
  count: number,
  options: { users?: number; parallel?: number } = {},
): Promise<Crowd> {
  const { users: userCount = 5, parallel = 10 } = options;
  const users = await Promise.all(
    Array.from({ length: userCount }, (_, index) => shop.createUser(`Crowd${index}`)),
  );
  const orders: Order[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      const user = users[number % userCount]!;
      orders.push(await shop.placeOrder(user.id, totals[number % totals.length]!));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return { users, orders };
}

/**
 * Waits until everything has come to rest, and checks: each order is completed or cancelled by exactly one event, points
 * are those of the completed orders, the event log has both events, and one mail was sent for every order.
 */
export async function everythingOnce(
  shop: TestShop,
  { users, orders }: Crowd,
  options: { mails: 'one' | 'one Message-ID'; timeoutMs?: number },
): Promise<void> {
  const { timeoutMs = 60_000 } = options;
  // One after the other: the others get on meanwhile, and asking costs the shop little.
  const decided: Order[] = [];
  for (const { id } of orders) decided.push(await shop.decided(id, timeoutMs));
  for (const order of decided) expect(order.status).toBe(order.total > LIMIT ? 'cancelled' : 'completed');

  for (const { id } of orders) {
    const { events } = await get<{ events: Event[] }>(`${shop.url('order')}/orders/${id}/events`);
    expect(events.map(({ type }) => type)).toEqual([
      'OrderPlaced',
      expect.stringMatching(/^Order(Completed|Cancelled)$/),
    ]);
  }

  await eventuallyHolds(
    async () => {
      for (const user of users) {
        const completed = decided.filter(
          ({ userId, status }) => userId === user.id && status === 'completed',
        );
        const points = completed.reduce((sum, { total }) => sum + Math.floor(total), 0);
        expect(await shop.points(user.id)).toBe(points);
      }
      const mails = Map.groupBy(
        shop.mailSink.mails,
        ({ subject }) => /^Your order (\S+)/.exec(subject)?.[1] ?? '',
      );
      for (const { id } of orders) {
        const sent = mails.get(id) ?? [];
        const counted = options.mails === 'one' ? sent : new Set(sent.map(({ messageId }) => messageId));
        expect([...counted]).toHaveLength(1);
      }
      for (const { id } of orders) {
        const { events } = await get<{ events: Event[] }>(
          `${shop.url('event-log')}/events?aggregateId=${id}`,
        );
        expect(events).toHaveLength(2);
      }
      for (const { email } of users) {
        const welcome = shop.mailsTo(email).filter(({ subject }) => subject === 'Welcome to the shop');
        expect(new Set(welcome.map(({ messageId }) => messageId)).size).toBe(1);
      }
    },
    { timeoutMs, intervalMs: 300 },
  );
  await queuesAreEmpty(shop);
}

/** No message waits, is in hand, or was set aside. */
async function queuesAreEmpty(shop: TestShop): Promise<void> {
  await eventuallyHolds(
    async () => {
      const counts = await shop.management.queueStats();
      const left = [...counts].map(([queue, { ready, unacked }]) => [queue, ready, unacked]);
      expect(left.filter(([, ready, unacked]) => ready !== 0 || unacked !== 0)).toEqual([]);
      expect(left.length).toBeGreaterThanOrEqual(10);
    },
    { timeoutMs: 30_000, intervalMs: 300 },
  );
}
