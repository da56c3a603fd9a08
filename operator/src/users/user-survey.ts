/**
 * The comparison of all users of ours with what the bindings name, every few seconds, upon one reading: who is to be put right or
 * rotated is reconciled, and users that nobody needs any more go.
 */
import type { BrokerConnection } from '../brokers/connection.ts';
import { publisherOf } from '../publishers/rights.ts';
import { isNameTaken } from '../publishers/standing.ts';
import { allows } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isDeleting, keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import { isPaused, isUnmanaged } from '../subscriptions/hands-off.ts';
import { bindingNameOf, consumerOf, inForce, isDue } from './handout.ts';
import type { UserOwner } from './handout.ts';
import { ownerOf } from './user.ts';

/** By their keys. */
export interface WorthReconciling {
  subscriptions: string[];
  publishers: string[];
}

/**
 * Who is worth a reconcile.
 *
 * @param afterMs how long a user must not have been needed until it goes
 */
export async function surveyUsers(
  source: Pick<ResourceSource, 'subscriptions' | 'publishers' | 'brokers' | 'readBinding' | 'namespace'>,
  connection: BrokerConnection,
  afterMs: number,
): Promise<WorthReconciling> {
  const { users } = connection;
  const worth: WorthReconciling = { subscriptions: [], publishers: [] };
  if (!users.isKnown || !(users.arePerOwner || users.hasAny)) return worth;
  const broker = source.brokers.get(connection.name);
  // Of other namespaces another operator knows.
  const isOthers = (namespace: string) => source.namespace !== undefined && source.namespace !== namespace;
  const isBarred = (namespace: string) =>
    broker !== undefined && !isOthers(namespace) && !allows(broker, namespace);
  const named = new Set<string>();
  /** Whose reconcile takes their users away, and tells of it. */
  const revoked = new Set<string>();
  /** Notes who is named, and tells whether something about it is not as it should be. */
  const isOff = async ({ resource, of, rights }: UserOwner): Promise<boolean> => {
    const binding = await source.readBinding(resource, bindingNameOf(resource));
    const credentials = inForce(binding, of);
    if (credentials !== undefined) named.add(credentials.user);
    // What is being deleted looks after itself, but in a namespace that is not allowed.
    if (isDeleting(resource)) return false;
    if (isBarred(namespaceOf(resource))) return users.has(of);
    if (!users.arePerOwner || isPaused(resource) || isUnmanaged(resource)) return false;
    return (
      credentials === undefined ||
      users.troubleWith(credentials, rights) !== undefined ||
      isDue(resource, binding, credentials, users.policy)
    );
  };
  for (const resource of source.subscriptions.list()) {
    if (resource.spec.brokerRef.name !== connection.name) continue;
    const owner = consumerOf(resource, connection);
    const off = await isOff(owner);
    // What has no binding yet is not that far.
    if (!off || resource.status?.binding === undefined) continue;
    worth.subscriptions.push(keyOfBound(resource));
    revoked.add(ownerOf(owner.of));
  }
  for (const resource of source.publishers.list()) {
    if (resource.spec.brokerRef.name !== connection.name) continue;
    const owner = publisherOf(resource, connection);
    const off = await isOff(owner);
    if (!off || isNameTaken(resource, source)) continue;
    worth.publishers.push(keyOfBound(resource));
    revoked.add(ownerOf(owner.of));
  }
  await users.removeAll((of) => isBarred(of.namespace) && !revoked.has(ownerOf(of)));
  await users.retire((user, { namespace }) => named.has(user) || isOthers(namespace), afterMs);
  return worth;
}
