/** The routes of the user service. */
import { notFound, route } from '@warren/service';
import type { App, Route } from '@warren/service';
import { z } from 'zod';
import { userIdFor } from './emails.ts';
import { userDecider } from './user.ts';
import { users } from './users.ts';

const newUser = z.object({
  email: z.string().trim().max(320).pipe(z.email('must be an email address')),
  name: z.string().trim().min(1).max(200),
});

const user = z.object({
  id: z.string(),
  email: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime().optional(),
});

export const userRoutes = (app: App): readonly Route[] => [
  route({
    method: 'post',
    path: '/users',
    summary: 'Creates a user. An email belongs to one user: 409 with reason email-taken for a second.',
    body: newUser,
    responses: { 201: { description: 'Created; the Location header says where', schema: user } },
    handle: async ({ body: { email, name }, newId, commandId }) => {
      const userId = await userIdFor(app.database, email, newId());
      // With `once`, a repeat of this very request after a crash before its answer finds its own user and no other's.
      const once = { handler: 'POST /users', messageId: commandId };
      await app.execute(userDecider, userId, { userId, email, name }, { once });
      return { status: 201, headers: { Location: `/users/${userId}` }, body: { id: userId, email, name } };
    },
  }),
  route({
    method: 'get',
    path: '/users/:id',
    summary: 'A user.',
    params: z.object({ id: z.string().min(1).max(200) }),
    responses: { 200: { description: 'The user', schema: user } },
    handle: async ({ params: { id } }) => {
      const view = await app.store.projection(users).get(id);
      if (view === null) throw notFound(`user ${id}`);
      return { status: 200, body: view };
    },
  }),
];
