/**
 * The end of an owner's users on the broker, with their connections.
 *
 * Where the broker lets nobody of ours manage users any more, nothing is known of them and none can be removed: who still has the
 * credentials could go on. So whoever was handed some waits, and is told what to do.
 */
import type { BrokerConnection } from '../brokers/connection.ts';
import { ConsumerUserError, notAdministrator } from '../errors.ts';
import type { BoundResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { bindingNameOf, inForce } from './handout.ts';
import type { UserOwner } from './handout.ts';
import type { UserOf } from './user.ts';

interface RemovalContext {
  connection: Pick<BrokerConnection, 'users' | 'name'>;
  source: Pick<ResourceSource, 'readBinding'>;
  signal: AbortSignal;
}

/** Gives back why a user may be left on the broker, and what to do about it; undefined where none is. */
export async function removeUsersOf(
  { resource, of }: Pick<UserOwner, 'resource' | 'of'>,
  { connection, source, signal }: RemovalContext,
): Promise<string | undefined> {
  const { users, name } = connection;
  const wasHandedOne = () => wasHandedUser(resource, of, users.arePerOwner, source);
  // After a write that failed nobody knows who is there; and the right may be back.
  if (users.isForbidden ? await wasHandedOne() : !users.isKnown) await users.refresh();
  try {
    await users.remove(of, signal);
  } catch (error) {
    if (!(error instanceof ConsumerUserError)) throw error;
  }
  if (!users.isForbidden || !(await wasHandedOne())) return undefined;
  return `its user may be left on the broker, with its rights: ${notAdministrator(name)}`;
}

/** Whether there may be a user of its own, as far as can be said without the broker. */
export async function wasHandedUser(
  resource: BoundResource,
  of: UserOf,
  arePerOwner: boolean,
  source: Pick<ResourceSource, 'readBinding'>,
): Promise<boolean> {
  if (arePerOwner && resource.status?.binding !== undefined) return true;
  return inForce(await source.readBinding(resource, bindingNameOf(resource)), of) !== undefined;
}

/** Said of an end that did not wait any longer. */
export const USER_LEFT =
  'given up; should its user be left on the broker, it goes when the broker is back, users may be removed and nobody is connected as it';
