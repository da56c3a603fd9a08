/** For tests: a service that publishes and subscribes to nothing. */
import { shopCatalogue, UserCreated } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import { z } from 'zod';
import { defineService } from '../definition.ts';
import { route } from '../route.ts';
import { ask } from './workbench.ts';

const decider: Decider<number, string> = {
  initial: 0,
  evolve: (count) => count + 1,
  decide: (userId) => [UserCreated.create({ userId, email: 'a@b.example', name: 'Ada' })],
};

/** `POST /users/:id/facts` appends one more event to that user. */
export const publishingService = (name: string) =>
  defineService({
    name,
    catalogue: shopCatalogue,
    parts: (app) => ({
      routes: [
        route({
          method: 'post',
          path: '/users/:id/facts',
          summary: 'Appends a fact.',
          params: z.object({ id: z.string() }),
          responses: { 201: { description: 'Done' } },
          handle: async ({ params: { id } }) => {
            await app.execute(decider, id, id);
            return { status: 201 };
          },
        }),
      ],
    }),
  });

/** Gives back the status of the answer. */
export async function appendFact(url: string, id: string): Promise<number> {
  return (await ask(`${url}/users/${id}/facts`, { method: 'POST' })).status;
}
