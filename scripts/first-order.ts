/** One customer, one order, through HTTP as anybody would; and what came of it, asked of the services. */
import { setTimeout as sleep } from 'node:timers/promises';
import { get, post, type Order, type User } from './shop-client.ts';
import type { Shop } from './shop.ts';

export interface PlacedOrder {
  readonly user: User;
  readonly order: Order;
  /** The conversations that the two requests began. */
  readonly conversations: { readonly user: string; readonly order: string };
}

/** What the services say about the order when nothing more is to be expected. */
export interface OrderOutcome {
  readonly order: Order;
  readonly points: number;
  /** Templates of the mails that the user was sent. */
  readonly notifications: readonly {
    readonly subject: string;
    readonly template: string;
    readonly to: string;
  }[];
}

export const lines = [
  { sku: 'tea', quantity: 2, unitPrice: 12.5 },
  { sku: 'cup', quantity: 1, unitPrice: 4.99 },
];

/** Creates a user with an email of its own and places an order. */
export async function placeFirstOrder(shop: Shop): Promise<PlacedOrder> {
  const email = `ada+${Date.now().toString(36)}@example.com`;
  const user = await post<User>(`${shop.url('user')}/users`, { email, name: 'Ada Lovelace' });
  const order = await post<Order>(`${shop.url('order')}/orders`, { userId: user.body.id, lines });
  return {
    user: user.body,
    order: order.body,
    conversations: { user: conversationOf(user.headers), order: conversationOf(order.headers) },
  };
}

function conversationOf(headers: Headers): string {
  return headers.get('x-correlation-id') ?? '';
}

/**
 * Waits until the order is decided, its points are given and its mail is sent.
 *
 * @throws when that takes longer than `timeoutMs`; says what is missing
 */
export async function outcomeOf(
  shop: Shop,
  { user, order }: PlacedOrder,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<OrderOutcome> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const [now, { points }, { notifications }] = await Promise.all([
      get<Order>(`${shop.url('order')}/orders/${order.id}`),
      get<{ points: number }>(`${shop.url('loyalty')}/loyalty/${user.id}`),
      get<Pick<OrderOutcome, 'notifications'>>(`${shop.url('notification')}/notifications?userId=${user.id}`),
    ]);
    const mailed = notifications.some(({ template }) => template === `order-${now.status}`);
    if (now.status !== 'placed' && mailed && (points > 0 || now.status === 'cancelled')) {
      return { order: now, points, notifications };
    }
    if (performance.now() > deadline) {
      throw new Error(
        `after ${Math.round(options.timeoutMs / 1000)} s the order is ${now.status}, with ${points} points and ${notifications.length} mails`,
      );
    }
    await sleep(50, undefined, { signal: options.signal });
  }
}
