import { createCatalogue, defineEvent, OrderCompleted } from '@warren/contracts';
import { defineProjection } from '@warren/event-store';
import type { Decider } from '@warren/event-store';
import { defineService, notFound, on, route } from '@warren/service';
import { z } from 'zod';

// A fact of our own, with its schema.
const BonusGranted = defineEvent({
  type: 'BonusGranted',
  owner: 'bonus',
  description: 'A customer has ordered for the third time.',
  versions: { 1: { schema: z.looseObject({ userId: z.string() }), example: { userId: 'user-1' } } },
});
const OrderCounted = defineEvent({
  type: 'OrderCounted',
  owner: 'bonus',
  description: 'An order counts towards a bonus.',
  versions: { 1: { schema: z.looseObject({ userId: z.string() }), example: { userId: 'user-1' } } },
});

// The rules, pure: how many orders there were, and what follows from one more.
const customer: Decider<number, { readonly userId: string }> = {
  initial: 0,
  evolve: (orders, event) => (OrderCounted.is(event) ? orders + 1 : orders),
  decide: ({ userId }, orders) =>
    orders === 2
      ? [OrderCounted.create({ userId }), BonusGranted.create({ userId })]
      : [OrderCounted.create({ userId })],
};

// The read model.
const bonuses = defineProjection<{ readonly userId: string; readonly granted: boolean }>({
  name: 'bonuses',
  key: (event) => event.aggregateId,
  evolve: (bonus, { aggregateId: userId, type }) => ({
    userId,
    granted: bonus?.granted === true || type === BonusGranted.type,
  }),
});

export const bonusService = defineService({
  name: 'bonus',
  catalogue: createCatalogue([OrderCompleted, OrderCounted, BonusGranted]),
  projections: [bonuses],
  parts: ({ store }) => ({
    consumers: {
      // By the name of the EventSubscription. Once for each event, however often it is delivered.
      bonus: [
        on(OrderCompleted, ({ data: { userId } }, { execute }) => execute(customer, userId, { userId })),
      ],
    },
    routes: [
      route({
        method: 'get',
        path: '/bonuses/:userId',
        summary: 'Whether a customer has a bonus.',
        params: z.object({ userId: z.string() }),
        responses: { 200: { description: 'The bonus' } },
        handle: async ({ params: { userId } }) => {
          const bonus = await store.projection(bonuses).get(userId);
          if (bonus === null) throw notFound(`customer ${userId}`);
          return { status: 200, body: bonus };
        },
      }),
    ],
  }),
});
