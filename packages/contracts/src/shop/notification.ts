import { z } from 'zod';
import { defineEvent } from '../event-type.ts';
import { id } from './fields.ts';

export const NotificationSent = defineEvent({
  type: 'NotificationSent',
  owner: 'notification',
  description: 'A mail was handed to the mail server.',
  versions: {
    1: {
      schema: z.looseObject({
        notificationId: id('The notification; also the aggregate'),
        userId: id('Whom it is for'),
        to: z.string().min(3).max(320).describe('The address'),
        subject: z.string().max(1000).describe('The subject line'),
        template: z.string().min(1).max(200).describe('Which text was sent'),
        orderId: id('The order it is about, if any').optional(),
      }),
      example: {
        notificationId: 'notification-1',
        userId: 'user-1',
        to: 'ada@example.com',
        subject: 'Your order order-1 is complete',
        template: 'order-completed',
        orderId: 'order-1',
      },
    },
  },
});
