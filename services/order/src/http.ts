/** The routes of the order service. */
import { notFound, route } from '@warren/service';
import type { App, Route } from '@warren/service';
import { z } from 'zod';
import { orderDecider, placement } from './order.ts';
import type { OrderCommand } from './order.ts';
import { orders } from './orders.ts';

const cents = z.number().nonnegative().max(1_000_000).multipleOf(0.01, 'must have at most two decimals');

const line = z.object({
  sku: z.string().trim().min(1).max(200),
  quantity: z.int().min(1).max(10_000),
  unitPrice: cents.describe('in whole units of the currency, at most two decimals'),
});

const newOrder = z.object({
  userId: z.string().trim().min(1).max(100),
  lines: z.array(line).min(1).max(100),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be three capital letters, such as EUR')
    .default('EUR'),
});

const order = z.object({
  id: z.string(),
  userId: z.string(),
  status: z.enum(['placed', 'completed', 'cancelled']),
  lines: z.array(line),
  total: z.number(),
  currency: z.string(),
  paymentId: z.string().optional(),
  reason: z.string().optional().describe('why it was cancelled'),
  placedAt: z.iso.datetime().optional(),
  updatedAt: z.iso.datetime().optional(),
});

const params = z.object({ id: z.string().min(1).max(200) });

export const orderRoutes = (app: App): readonly Route[] => [
  route({
    method: 'post',
    path: '/orders',
    summary: 'Places an order. It is accepted now; whether it is paid shows at its location.',
    body: newOrder,
    responses: { 202: { description: 'Accepted; the Location header says where it is', schema: order } },
    handle: async ({ body, newId }) => {
      const command: Extract<OrderCommand, { kind: 'place' }> = { kind: 'place', orderId: newId(), ...body };
      await app.execute(orderDecider, command.orderId, command);
      const { orderId, ...placed } = placement(command);
      return {
        status: 202,
        headers: { Location: `/orders/${orderId}` },
        body: { id: orderId, status: 'placed', ...placed },
      };
    },
  }),
  route({
    method: 'get',
    path: '/orders/:id',
    summary: 'An order as it is now.',
    params,
    responses: { 200: { description: 'The order', schema: order } },
    handle: async ({ params: { id } }) => {
      const view = await app.store.projection(orders).get(id);
      if (view === null) throw notFound(`order ${id}`);
      return { status: 200, body: view };
    },
  }),
  route({
    method: 'get',
    path: '/orders/:id/events',
    summary: 'What happened to an order, in its own log.',
    params,
    responses: {
      200: { description: 'The events, oldest first', schema: z.object({ events: z.array(z.unknown()) }) },
    },
    handle: async ({ params: { id } }) => {
      const events = await app.store.read(id);
      if (events.length === 0) throw notFound(`order ${id}`);
      return { status: 200, body: { events } };
    },
  }),
];
