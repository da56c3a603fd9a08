/**
 * Whoever may not use a broker does not go on using it (docs/adr/0024): its users go, with their connections, whatever its
 * resource says of itself. Who has the resource may pause it; that outlasts nothing that who has the broker takes away.
 */
import type { BrokerConnection } from '../brokers/connection.ts';
import type { BrokerState } from '../brokers/registry.ts';
import { allows, describeNotAllowed } from '../resources.ts';
import type { BoundResource } from '../resources.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import { namespaceOf } from '../subscriptions/claims.ts';
import type { UserOwner } from './handout.ts';
import { removeUsersOf } from './removal.ts';

export interface Revocation {
  /** For its status: that it is not allowed, and what may be left. */
  message: string;
  /** There were users of it until now. */
  isNew: boolean;
}

/** Undefined where its namespace may use the broker. @param ownerOn the resource as who has users on a broker */
export async function revokeUsers(
  resource: BoundResource,
  broker: BrokerState,
  ownerOn: (connection: BrokerConnection) => UserOwner,
  { source, signal }: { source: Pick<ResourceSource, 'brokers' | 'readBinding'>; signal: AbortSignal },
): Promise<Revocation | undefined> {
  const { name } = resource.spec.brokerRef;
  const known = source.brokers.get(name);
  if (known === undefined || allows(known, namespaceOf(resource))) return undefined;
  const message = describeNotAllowed(name, namespaceOf(resource));
  const connection = reachableBy(broker);
  if (connection === undefined) return { message, isNew: false };
  const owner = ownerOn(connection);
  const isNew = connection.users.has(owner.of);
  const left = await removeUsersOf(owner, { connection, source, signal });
  return { message: left === undefined ? message : `${message}; ${left}`, isNew };
}

function reachableBy(broker: BrokerState): BrokerConnection | undefined {
  if (broker.state === 'unknown') return undefined;
  return broker.state === 'up' ? broker.connection : broker.last;
}

export function revocationStory({ message }: Revocation): StoryEvent {
  return { type: 'Warning', reason: 'BrokerNotAllowed', action: 'Revoke', message };
}
