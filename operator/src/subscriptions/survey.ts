/**
 * The comparison of everything on a broker with what is wanted, every few seconds: one inventory and one listing of counts,
 * whatever the number of subscriptions. Only those that differ, or have something to say, are reconciled.
 */
import { difference, wantedTopology } from '@warren/topology';
import type { BrokerCapabilities, Difference } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Layout, LiveInventory } from '../brokers/live-inventory.ts';
import { conditionOf } from '../conditions.ts';
import type { SubscriptionResource } from '../resources.ts';
import { isDeleting, keyOfBound, subscriptionOf } from './claims.ts';
import { countsOf, isCountedAnew } from './counts.ts';
import { isOtherwiseInForce } from './effective.ts';

/** What was as it should be: while neither it nor the broker has changed, it is not compared once more. */
export type AsWanted = WeakMap<SubscriptionResource, { layout: Layout; capabilities: BrokerCapabilities }>;

/** Whether there is nothing to do and nothing to complain of. */
export function isAsWanted({ conflicts, blocked, memberships, steps, overridden }: Difference): boolean {
  return [conflicts, blocked, memberships, steps, overridden].every((list) => list.length === 0);
}

/** The keys of the subscriptions that are worth a reconcile. */
export function survey(
  subscriptions: Iterable<SubscriptionResource>,
  found: LiveInventory,
  connection: Pick<BrokerConnection, 'name' | 'capabilities' | 'statsOf'>,
  known: AsWanted = new WeakMap(),
): string[] {
  const keys: string[] = [];
  for (const resource of subscriptions) {
    if (resource.spec.brokerRef.name !== connection.name) continue;
    // What is being deleted looks after itself.
    if (isDeleting(resource)) continue;
    const isWorthIt =
      !isAtRest(resource) ||
      isCountedAnew(resource, countsOf(resource, connection)) ||
      differs(resource, found, connection, known);
    if (isWorthIt) keys.push(keyOfBound(resource));
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
  found: LiveInventory,
  { capabilities }: Pick<BrokerConnection, 'capabilities'>,
  known: AsWanted,
): boolean {
  const { layout } = found;
  const last = known.get(resource);
  if (last?.layout === layout && last.capabilities === capabilities) return false;
  const all = difference(wantedTopology(subscriptionOf(resource), capabilities), found);
  const isOff = !isAsWanted(all) || isOtherwiseInForce(resource, found);
  if (!isOff) known.set(resource, { layout, capabilities });
  return isOff;
}
