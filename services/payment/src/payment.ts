/**
 * A payment: one decision for one order, approved or declined. Pure.
 *
 * Its id follows from the order's, so there is never a second decision for one order, whatever is delivered how often.
 */
import { PaymentApproved, PaymentDeclined, toCents } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import type { Decider } from '@warren/event-store';

/** What a payment is after its event. */
export interface Payment {
  readonly id: string;
  readonly orderId: string;
  readonly userId: string;
  readonly amount: number;
  readonly status: 'approved' | 'declined';
  /** Why it was declined. */
  readonly reason?: string;
}

/** Charge an order; `limit` is the most that is approved, in whole units of the currency. */
export interface ChargeCommand {
  readonly orderId: string;
  readonly userId: string;
  readonly amount: number;
  readonly limit: number;
}

/** The payment of an order. */
export function paymentIdOf(orderId: string): string {
  return `payment-${orderId}`;
}

/** The rules of a payment. */
export const paymentDecider: Decider<Payment | undefined, ChargeCommand> = {
  initial: undefined,
  evolve: (payment, event) => evolvePayment(payment, event),
  decide: ({ orderId, userId, amount, limit }, payment) => {
    if (payment !== undefined) return [];
    const data = { paymentId: paymentIdOf(orderId), orderId, userId, amount };
    return toCents(amount) <= toCents(limit)
      ? [PaymentApproved.create(data)]
      : [PaymentDeclined.create({ ...data, reason: `over the limit of ${limit}` })];
  },
};

/** A payment after one more event. */
export function evolvePayment(payment: Payment | undefined, event: Event): Payment | undefined {
  if (PaymentApproved.is(event)) {
    const { paymentId, orderId, userId, amount } = event.data;
    return { id: paymentId, orderId, userId, amount, status: 'approved' };
  }
  if (PaymentDeclined.is(event)) {
    const { paymentId, orderId, userId, amount, reason } = event.data;
    return { id: paymentId, orderId, userId, amount, status: 'declined', reason };
  }
  return payment;
}
