/** The loyalty service: points for completed orders. It was added to the shop by its EventSubscription alone. */
import { OrderCompleted, shopCatalogue } from '@warren/contracts';
import { defineService, on, route } from '@warren/service';
import { z } from 'zod';
import { accountDecider, accountIdOf } from './account.ts';
import { balances } from './balances.ts';

export const loyaltyService = defineService({
  name: 'loyalty',
  catalogue: shopCatalogue,
  projections: [balances],
  parts: (app) => ({
    routes: [
      route({
        method: 'get',
        path: '/loyalty/:userId',
        summary: 'The points of a user; 0 for one who has not bought anything.',
        params: z.object({ userId: z.string().min(1).max(200) }),
        responses: {
          200: { description: 'The points', schema: z.object({ userId: z.string(), points: z.int() }) },
        },
        handle: async ({ params: { userId } }) => {
          const balance = await app.store.projection(balances).get(accountIdOf(userId));
          return { status: 200, body: { userId, points: balance?.points ?? 0 } };
        },
      }),
    ],
    consumers: {
      loyalty: [
        on(OrderCompleted, async ({ data: { userId, orderId, total } }, { execute }) => {
          await execute(accountDecider, accountIdOf(userId), { userId, orderId, total });
        }),
      ],
    },
  }),
});
