/** The read model of users: one document a user. */
import { defineProjection } from '@warren/event-store';
import { evolveUser } from './user.ts';
import type { User } from './user.ts';

/** A user as clients see it. */
export interface UserView extends User {
  /** ISO 8601. */
  readonly createdAt: string;
}

export const users = defineProjection<UserView>({
  name: 'users',
  key: (event) => event.aggregateId,
  evolve: (view, event) => {
    const user = evolveUser(view ?? undefined, event);
    return user === undefined ? null : { ...user, createdAt: view?.createdAt ?? event.timestamp };
  },
});
