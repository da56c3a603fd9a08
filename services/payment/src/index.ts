/** The payment service: decides once for each order whether it is paid. */
import { OrderPlaced, shopCatalogue } from '@warren/contracts';
import { defineService, on } from '@warren/service';
import { z } from 'zod';
import { paymentRoutes } from './http.ts';
import { paymentDecider, paymentIdOf } from './payment.ts';
import { payments } from './payments.ts';

export const paymentService = defineService({
  name: 'payment',
  catalogue: shopCatalogue,
  settings: z.object({
    PAYMENT_LIMIT: z.coerce
      .number()
      .nonnegative()
      .default(1000)
      .describe('the most that is approved for one order, in whole units of the currency'),
  }),
  projections: [payments],
  parts: (app) => ({
    routes: paymentRoutes(app),
    consumers: {
      payment: [
        on(OrderPlaced, async ({ data: { orderId, userId, total } }, { execute }) => {
          const command = { orderId, userId, amount: total, limit: app.settings.PAYMENT_LIMIT };
          await execute(paymentDecider, paymentIdOf(orderId), command);
        }),
      ],
    },
  }),
});
