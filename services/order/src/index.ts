/** The order service: takes orders, and closes them when their payment is decided. */
import { shopCatalogue } from '@warren/contracts';
import { defineService } from '@warren/service';
import { orderHandlers } from './consumers.ts';
import { orderRoutes } from './http.ts';
import { orders } from './orders.ts';

export const orderService = defineService({
  name: 'order',
  catalogue: shopCatalogue,
  projections: [orders],
  parts: (app) => ({ routes: orderRoutes(app), consumers: { order: orderHandlers } }),
});
