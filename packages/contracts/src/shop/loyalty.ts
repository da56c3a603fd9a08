import { z } from 'zod';
import { defineEvent } from '../event-type.ts';
import { id } from './fields.ts';

export const PointsEarned = defineEvent({
  type: 'PointsEarned',
  owner: 'loyalty',
  description: 'A user got points for an order that was completed.',
  versions: {
    1: {
      schema: z.looseObject({
        userId: id('Who got them'),
        orderId: id('What for'),
        points: z.int().nonnegative().describe('How many'),
      }),
      example: { userId: 'user-1', orderId: 'order-1', points: 29 },
    },
  },
});
