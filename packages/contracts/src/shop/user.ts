import { z } from 'zod';
import { defineEvent } from '../event-type.ts';
import { id } from './fields.ts';

export const UserCreated = defineEvent({
  type: 'UserCreated',
  owner: 'user',
  description: 'Somebody signed up.',
  versions: {
    1: {
      schema: z.looseObject({
        userId: id('The new user; also the aggregate'),
        email: z.string().min(3).max(320).describe('Where mail reaches them'),
        name: z.string().min(1).max(200).describe('What they are called'),
      }),
      example: { userId: 'user-1', email: 'ada@example.com', name: 'Ada Lovelace' },
    },
  },
});
