/**
 * What policies will have to hold, and what they hold in vain.
 *
 * A policy that is put is matched with every queue of the virtual host: half a second with some thousands of them, next to
 * nothing with none. So whoever writes policies first writes them for all who are about to want them, before their queues are
 * made. One that comes to nothing (deleted before its turn, a crash in between) is found in vain by the next survey.
 */
import { difference, foreignQueues, wantedTopology } from '@warren/topology';
import type { BrokerCapabilities, Inventory, Membership } from '@warren/topology';
import { allows } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isClaimed, isDeleting, namespaceOf } from './claims.ts';
import { wasInSync } from './status.ts';

/** The memberships that new and edited subscriptions of a broker lack. What drifted is each one's own to find and to tell. */
export function foreseen(
  { subscriptions, brokers }: Pick<ResourceSource, 'subscriptions' | 'brokers'>,
  { name, capabilities }: { name: string; capabilities: BrokerCapabilities },
  found: Inventory,
): Membership[] {
  const broker = brokers.get(name);
  if (broker === undefined) return [];
  return subscriptions.list().flatMap((resource) => {
    if (resource.spec.brokerRef.name !== name || isDeleting(resource) || wasInSync(resource)) return [];
    if (!allows(broker, namespaceOf(resource))) return [];
    const { metadata, spec } = resource;
    const wanted = wantedTopology(
      { namespace: namespaceOf(resource), name: metadata.name, spec },
      capabilities,
    );
    if (!isClaimed(resource) && foreignQueues(wanted, found).length > 0) return [];
    return difference(wanted, found).memberships;
  });
}

/** Queues that a policy of ours names, and that neither exist nor are wanted by anybody. */
export function inVain(
  { subscriptions, namespace }: Pick<ResourceSource, 'subscriptions' | 'namespace'>,
  found: Inventory,
): Membership[] {
  return [...found.policyIndex.byQueue.keys()].flatMap((queue) => {
    const [where = '', name = ''] = queue.split('.');
    // Of other namespaces another operator knows.
    if (found.queues.has(queue) || (namespace !== undefined && namespace !== where)) return [];
    return subscriptions.get(`${where}/${name}`) === undefined ? [{ queue, settings: undefined }] : [];
  });
}
