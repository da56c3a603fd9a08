/** The routes of the payment service. */
import { route } from '@warren/service';
import type { App, Route } from '@warren/service';
import { z } from 'zod';
import { paymentIdOf } from './payment.ts';
import { payments } from './payments.ts';

const payment = z.object({
  id: z.string(),
  orderId: z.string(),
  userId: z.string(),
  amount: z.number(),
  status: z.enum(['approved', 'declined']),
  reason: z.string().optional().describe('why it was declined'),
  decidedAt: z.iso.datetime(),
});

export const paymentRoutes = (app: App): readonly Route[] => [
  route({
    method: 'get',
    path: '/payments',
    summary: 'The payments of an order: none while it is undecided, then one.',
    query: z.object({ orderId: z.string().min(1).max(200) }),
    responses: { 200: { description: 'The payments', schema: z.object({ payments: z.array(payment) }) } },
    handle: async ({ query: { orderId } }) => {
      const found = await app.store.projection(payments).get(paymentIdOf(orderId));
      return { status: 200, body: { payments: found === null ? [] : [found] } };
    },
  }),
];
