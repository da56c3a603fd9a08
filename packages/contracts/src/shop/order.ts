import { z } from 'zod';
import { defineEvent } from '../event-type.ts';
import { amount, currency, id, orderLine } from './fields.ts';

const lines = z.array(orderLine).min(1).describe('What was ordered');
const exampleLines = [
  { sku: 'tea', quantity: 2, unitPrice: 12.5 },
  { sku: 'cup', quantity: 1, unitPrice: 4.99 },
];

export const OrderPlaced = defineEvent({
  type: 'OrderPlaced',
  owner: 'order',
  description: 'A user ordered something; nothing is paid yet.',
  versions: {
    1: {
      schema: z.looseObject({
        orderId: id('The new order; also the aggregate'),
        userId: id('Who ordered'),
        lines,
        total: amount('Sum of the lines, in euros'),
      }),
      example: { orderId: 'order-1', userId: 'user-1', lines: exampleLines, total: 29.99 },
    },
    2: {
      schema: z.looseObject({
        orderId: id('The new order; also the aggregate'),
        userId: id('Who ordered'),
        lines,
        total: amount('Sum of the lines'),
        currency,
      }),
      example: { orderId: 'order-1', userId: 'user-1', lines: exampleLines, total: 29.99, currency: 'CHF' },
    },
  },
  // Until version 2 the shop knew only one currency.
  upcasters: { 1: (v1) => ({ ...v1, currency: 'EUR' }) },
});

export const OrderCompleted = defineEvent({
  type: 'OrderCompleted',
  owner: 'order',
  description: 'An order is paid and done.',
  versions: {
    1: {
      schema: z.looseObject({
        orderId: id('The order; also the aggregate'),
        userId: id('Who ordered'),
        total: amount('What was paid'),
        paymentId: id('The payment that was approved'),
      }),
      example: { orderId: 'order-1', userId: 'user-1', total: 29.99, paymentId: 'payment-1' },
    },
  },
});

export const OrderCancelled = defineEvent({
  type: 'OrderCancelled',
  owner: 'order',
  description: 'An order will not be fulfilled.',
  versions: {
    1: {
      schema: z.looseObject({
        orderId: id('The order; also the aggregate'),
        userId: id('Who ordered'),
        total: amount('What would have been paid'),
        reason: z.string().min(1).max(1000).describe('Why, for a person to read'),
      }),
      example: {
        orderId: 'order-1',
        userId: 'user-1',
        total: 29.99,
        reason: 'payment declined: over the limit',
      },
    },
  },
});
