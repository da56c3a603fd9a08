/** For tests: read models of the shop's events. */
import { OrderPlaced } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { defineProjection } from '../projection.ts';

export interface OrderView {
  readonly status: string;
  readonly userId: string;
  /** The versions that took effect, in the order in which they did. */
  readonly versions: readonly number[];
}

/** One document an order. A cancelled one is deleted. */
export const orders = defineProjection<OrderView>({
  name: 'orders',
  key: ({ aggregateId }) => aggregateId,
  evolve: (order, event) =>
    event.type === 'OrderCancelled'
      ? null
      : {
          status: event.type === 'OrderPlaced' ? 'placed' : 'completed',
          userId: (event.data as { userId: string }).userId,
          versions: [...(order?.versions ?? []), event.version],
        },
  indexes: [{ key: { userId: 1 } }],
});

export interface Spending {
  readonly total: number;
  readonly orders: number;
}

/** One document a user, fed by many orders. Events of other types concern none. */
export const spending = defineProjection<Spending>({
  name: 'spending',
  key: (event: Event) => (OrderPlaced.is(event) ? event.data.userId : null),
  evolve: (spent, event) =>
    OrderPlaced.is(event)
      ? { total: (spent?.total ?? 0) + event.data.total, orders: (spent?.orders ?? 0) + 1 }
      : spent,
});
