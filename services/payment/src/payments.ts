/** The read model of payments: one document a payment, found by its order. */
import { defineProjection } from '@warren/event-store';
import { evolvePayment } from './payment.ts';
import type { Payment } from './payment.ts';

/** A payment as clients see it. */
export interface PaymentView extends Payment {
  /** ISO 8601. */
  readonly decidedAt: string;
}

export const payments = defineProjection<PaymentView>({
  name: 'payments',
  key: (event) => event.aggregateId,
  evolve: (view, event) => {
    const payment = evolvePayment(view ?? undefined, event);
    return payment === undefined ? null : { ...payment, decidedAt: view?.decidedAt ?? event.timestamp };
  },
});
