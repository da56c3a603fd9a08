/**
 * An order: placed once, then completed or cancelled, and never changed again. Pure.
 *
 *   (nothing) ── place ──▶ placed ── complete ──▶ completed
 *                             └───── cancel ────▶ cancelled
 *
 * A command that was carried out before yields nothing: commands may come twice.
 */
import { OrderCancelled, OrderCompleted, OrderPlaced, totalOf } from '@warren/contracts';
import type { DataOf, Event, NewEvent } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import { Refusal, RetryLaterError } from '@warren/service';

/** One thing that is ordered. */
export interface Line {
  readonly sku: string;
  readonly quantity: number;
  /** In whole units of the currency, at most two decimals. */
  readonly unitPrice: number;
}

/** What an order is after its events. */
export interface Order {
  readonly id: string;
  readonly userId: string;
  readonly status: 'placed' | 'completed' | 'cancelled';
  readonly lines: readonly Line[];
  readonly total: number;
  readonly currency: string;
  readonly paymentId?: string;
  /** Why it was cancelled. */
  readonly reason?: string;
}

/** What can be asked of an order. */
export type OrderCommand =
  | {
      readonly kind: 'place';
      readonly orderId: string;
      readonly userId: string;
      readonly lines: readonly Line[];
      readonly currency: string;
    }
  | { readonly kind: 'complete'; readonly paymentId: string }
  | { readonly kind: 'cancel'; readonly reason: string };

/** The rules of an order. */
export const orderDecider: Decider<Order | undefined, OrderCommand> = {
  initial: undefined,
  evolve: (order, event) => evolveOrder(order, event),
  decide: (command, order) => (command.kind === 'place' ? place(command, order) : close(command, order)),
};

/** An order after one more event. */
export function evolveOrder(order: Order | undefined, event: Event): Order | undefined {
  if (OrderPlaced.is(event)) {
    const { orderId, userId, lines, total, currency } = event.data;
    return { id: orderId, userId, status: 'placed', lines, total, currency };
  }
  if (order === undefined) return undefined;
  if (OrderCompleted.is(event)) return { ...order, status: 'completed', paymentId: event.data.paymentId };
  if (OrderCancelled.is(event)) return { ...order, status: 'cancelled', reason: event.data.reason };
  return order;
}

/** What placing an order says about it. */
export function placement(command: Extract<OrderCommand, { kind: 'place' }>): DataOf<typeof OrderPlaced> {
  const { orderId, userId, currency } = command;
  const lines = command.lines.map(({ sku, quantity, unitPrice }) => ({ sku, quantity, unitPrice }));
  return { orderId, userId, lines, total: totalOf(lines), currency };
}

function place(command: Extract<OrderCommand, { kind: 'place' }>, order: Order | undefined): NewEvent[] {
  if (order === undefined) return [OrderPlaced.create(placement(command))];
  return [];
}

function close(command: Exclude<OrderCommand, { kind: 'place' }>, order: Order | undefined): NewEvent[] {
  // That nothing is found may be an old answer of the database, as while its primary changes: it is asked again.
  if (order === undefined) throw new RetryLaterError('There is no such order, or it is not known yet.');
  const wanted = command.kind === 'complete' ? 'completed' : 'cancelled';
  if (order.status === wanted) return [];
  if (order.status !== 'placed') {
    throw new Refusal('order-closed', `The order is ${order.status}, so it cannot be ${wanted}.`);
  }
  const { id: orderId, userId, total } = order;
  return command.kind === 'complete'
    ? [OrderCompleted.create({ orderId, userId, total, paymentId: command.paymentId })]
    : [OrderCancelled.create({ orderId, userId, total, reason: command.reason })];
}
