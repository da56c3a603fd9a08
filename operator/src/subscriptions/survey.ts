/**
 * The comparison of everything on a broker with what is wanted, every few seconds: one inventory and one listing of counts,
 * whatever the number of subscriptions. Only those that differ, or have something to say, are reconciled.
 */
import { difference, wantedTopology } from '@warren/topology';
import type { Inventory } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import { conditionOf } from '../conditions.ts';
import type { SubscriptionResource } from '../resources.ts';
import { isDeleting, keyOfBound, subscriptionOf } from './claims.ts';
import { countsOf, isCountedAnew } from './counts.ts';
import { isOtherwiseInForce } from './effective.ts';

/** The keys of the subscriptions that are worth a reconcile. */
export function survey(
  subscriptions: Iterable<SubscriptionResource>,
  found: Inventory,
  connection: Pick<BrokerConnection, 'name' | 'capabilities' | 'statsOf'>,
): string[] {
  const keys: string[] = [];
  for (const resource of subscriptions) {
    if (resource.spec.brokerRef.name !== connection.name) continue;
    // What is being deleted looks after itself.
    if (isDeleting(resource)) continue;
    if (!isAtRest(resource) || differs(resource, found, connection)) keys.push(keyOfBound(resource));
  }
  return keys;
}

/** Its last reconcile found nothing to do and nothing to complain of, and was of this very spec. */
function isAtRest({ metadata, status }: SubscriptionResource): boolean {
  const ready = conditionOf(status?.conditions, 'Ready');
  const inSync = conditionOf(status?.conditions, 'TopologyInSync');
  return (
    ready?.status === 'True' && inSync?.status === 'True' && inSync.observedGeneration === metadata.generation
  );
}

function differs(
  resource: SubscriptionResource,
  found: Inventory,
  connection: Pick<BrokerConnection, 'capabilities' | 'statsOf'>,
): boolean {
  const { conflicts, blocked, memberships, steps, overridden } = difference(
    wantedTopology(subscriptionOf(resource), connection.capabilities),
    found,
  );
  return (
    [conflicts, blocked, memberships, steps, overridden].some((list) => list.length > 0) ||
    isCountedAnew(resource, countsOf(resource, connection)) ||
    isOtherwiseInForce(resource, found)
  );
}
