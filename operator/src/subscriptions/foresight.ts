/**
 * What policies will have to hold, and what they hold in vain.
 *
 * A policy that is put is matched with every queue of the virtual host: half a second with some thousands of them, next to
 * nothing with none. So whoever writes policies first writes them for all who are about to want them, before their queues are
 * made. One that comes to nothing (deleted before its turn, a crash in between) is found in vain by the next survey.
 */
import { difference, familyOf, foreignQueues, namespaceOfFamily, wantedTopology } from '@warren/topology';
import type { BrokerCapabilities, Inventory, Membership } from '@warren/topology';
import { allows } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { hasOwnNames, isClaimed, isDeleting, namespaceOf, subscriptionOf } from './claims.ts';
import { isHandsOff } from './hands-off.ts';
import { othersIn } from './others.ts';
import { wasInSyncWith } from './status.ts';

/**
 * The memberships that new and edited subscriptions of a broker lack, and all of them after its upgrade. What drifted is each
 * one's own to find and to tell.
 */
export function foreseen(
  { subscriptions, brokers }: Pick<ResourceSource, 'subscriptions' | 'brokers'>,
  { name, capabilities }: { name: string; capabilities: BrokerCapabilities },
  found: Inventory,
): Membership[] {
  const broker = brokers.get(name);
  if (broker === undefined) return [];
  const others = othersIn(subscriptions);
  return subscriptions.list().flatMap((resource) => {
    if (resource.spec.brokerRef.name !== name || isDeleting(resource)) return [];
    if (wasInSyncWith(resource, capabilities)) return [];
    if (!allows(broker, namespaceOf(resource))) return [];
    if (!hasOwnNames(resource) || isHandsOff(resource, others)) return [];
    const wanted = wantedTopology(subscriptionOf(resource), capabilities);
    if (!isClaimed(resource) && foreignQueues(wanted, found).length > 0) return [];
    return difference(wanted, found).memberships;
  });
}

/** Queues and families that a policy of ours names, and that neither exist nor are wanted by anybody. */
export function inVain(
  { subscriptions, namespace }: Pick<ResourceSource, 'subscriptions' | 'namespace'>,
  found: Inventory,
): Membership[] {
  const isOthers = (where: string) => namespace !== undefined && namespace !== where;
  const queues = [...found.policyIndex.byQueue.keys()].flatMap((queue) => {
    const [where = '', name = ''] = queue.split('.');
    // Of other namespaces another operator knows.
    if (found.queues.has(queue) || isOthers(where)) return [];
    return subscriptions.get(`${where}/${name}`) === undefined ? [{ queue, settings: undefined }] : [];
  });
  if (found.policyIndex.byFamily.size === 0) return queues;
  const there = new Set([...found.queues.keys()].map(familyOf));
  const wanted = new Set(subscriptions.list().map(namespaceOf));
  const families = [...found.policyIndex.byFamily.keys()].filter((family) => {
    const where = namespaceOfFamily(family);
    return !there.has(family) && !wanted.has(where) && !isOthers(where);
  });
  return [...queues, ...families.map((family) => ({ queue: family, settings: undefined }))];
}
