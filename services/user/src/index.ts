/** The user service: who the shop's customers are. */
import { shopCatalogue } from '@warren/contracts';
import { defineService } from '@warren/service';
import { userRoutes } from './http.ts';
import { users } from './users.ts';

export const userService = defineService({
  name: 'user',
  catalogue: shopCatalogue,
  projections: [users],
  parts: (app) => ({ routes: userRoutes(app) }),
});
