/**
 * A user: created once. Pure.
 */
import { UserCreated } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import { Refusal } from '@warren/service';

/** What a user is after its events. */
export interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string;
}

/** Someone signs up. */
export interface CreateCommand {
  readonly userId: string;
  readonly email: string;
  readonly name: string;
}

/** The rules of a user. */
export const userDecider: Decider<User | undefined, CreateCommand> = {
  initial: undefined,
  evolve: (user, event) => evolveUser(user, event),
  decide: ({ userId, email, name }, user) => {
    if (user !== undefined) throw emailTaken();
    return [UserCreated.create({ userId, email, name })];
  },
};

/** A user after one more event. */
export function evolveUser(user: User | undefined, event: Event): User | undefined {
  if (!UserCreated.is(event)) return user;
  const { userId, email, name } = event.data;
  return { id: userId, email, name };
}

/** Another user has this address. */
export function emailTaken(): Refusal {
  return new Refusal('email-taken', 'There is a user with this email already.');
}
