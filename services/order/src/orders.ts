/** The read model of orders: one document an order, as `GET /orders/:id` shows it. */
import { OrderPlaced } from '@warren/contracts';
import { defineProjection } from '@warren/event-store';
import { evolveOrder } from './order.ts';
import type { Order } from './order.ts';

/** An order as clients see it. */
export interface OrderView extends Order {
  /** ISO 8601. */
  readonly placedAt: string;
  readonly updatedAt: string;
}

export const orders = defineProjection<OrderView>({
  name: 'orders',
  key: (event) => event.aggregateId,
  evolve: (view, event) => {
    const order = evolveOrder(view ?? undefined, event);
    if (order === undefined) return null;
    const placedAt = OrderPlaced.is(event) ? event.timestamp : (view?.placedAt ?? event.timestamp);
    return { ...order, placedAt, updatedAt: event.timestamp };
  },
});
