import { z } from 'zod';
import { defineEvent } from '../event-type.ts';
import { amount, id } from './fields.ts';

const paymentId = id('The payment; also the aggregate');
const orderId = id('What it pays');
const userId = id('Who pays');

export const PaymentApproved = defineEvent({
  type: 'PaymentApproved',
  owner: 'payment',
  description: 'The money for an order is there.',
  versions: {
    1: {
      schema: z.looseObject({ paymentId, orderId, userId, amount: amount('What was charged') }),
      example: { paymentId: 'payment-1', orderId: 'order-1', userId: 'user-1', amount: 29.99 },
    },
  },
});

export const PaymentDeclined = defineEvent({
  type: 'PaymentDeclined',
  owner: 'payment',
  description: 'An order could not be charged.',
  versions: {
    1: {
      schema: z.looseObject({
        paymentId,
        orderId,
        userId,
        amount: amount('What should have been charged'),
        reason: z.string().min(1).max(1000).describe('Why, for a person to read'),
      }),
      example: {
        paymentId: 'payment-1',
        orderId: 'order-1',
        userId: 'user-1',
        amount: 29.99,
        reason: 'over the limit of 20',
      },
    },
  },
});
