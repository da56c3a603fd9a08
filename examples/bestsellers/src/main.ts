import { OrderPlaced, shopCatalogue } from '@warren/contracts';
import { defineService, on, route, runService } from '@warren/service';
import { z } from 'zod';

interface SoldOrder {
  _id: string;
  lines: { sku: string; quantity: number }[];
}

const bestsellers = z.object({ bestsellers: z.array(z.object({ sku: z.string(), sold: z.int() })) });

const bestsellersService = defineService({
  name: 'bestsellers',
  catalogue: shopCatalogue,
  parts: ({ database }) => {
    const orders = () => database.collection<SoldOrder>('sold_orders');
    return {
      consumers: {
        bestsellers: [
          on(OrderPlaced, async ({ data: { orderId, lines } }) => {
            // The order's id is the key: the same event a second time changes nothing.
            await orders().replaceOne({ _id: orderId }, { lines }, { upsert: true });
          }),
        ],
      },
      routes: [
        route({
          method: 'get',
          path: '/bestsellers',
          summary: 'What sells, best first.',
          responses: { 200: { description: 'Products and how many were sold', schema: bestsellers } },
          handle: async () => {
            const rows = await orders()
              .aggregate<{ _id: string; sold: number }>([
                { $unwind: '$lines' },
                { $group: { _id: '$lines.sku', sold: { $sum: '$lines.quantity' } } },
                { $sort: { sold: -1, _id: 1 } },
                { $limit: 10 },
              ])
              .toArray();
            return { status: 200, body: { bestsellers: rows.map(({ _id: sku, sold }) => ({ sku, sold })) } };
          },
        }),
      ],
    };
  },
});

await runService(bestsellersService);
