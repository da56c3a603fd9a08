/** What the order service does when others say something: a payment's outcome closes its order. */
import { PaymentApproved, PaymentDeclined } from '@warren/contracts';
import { on } from '@warren/service';
import type { Handler } from '@warren/service';
import { orderDecider } from './order.ts';

export const orderHandlers: readonly Handler[] = [
  on(PaymentApproved, async ({ data }, { execute }) => {
    await execute(orderDecider, data.orderId, { kind: 'complete', paymentId: data.paymentId });
  }),
  on(PaymentDeclined, async ({ data }, { execute }) => {
    // The other service's reason may be as long as ours may be.
    const reason = `payment declined: ${data.reason}`.slice(0, 1000);
    await execute(orderDecider, data.orderId, { kind: 'cancel', reason });
  }),
];
