/** What is in force at a subscription's queue, for its status. */
import { effectiveArguments, namesOf, partitionsOf } from '@warren/topology';
import type { Inventory } from '@warren/topology';
import type { SubscriptionResource } from '../resources.ts';
import { namespaceOf } from './claims.ts';

/** Undefined where there is no queue. */
export function effectiveOf(
  resource: SubscriptionResource,
  found: Inventory,
): Record<string, string> | undefined {
  const { queue: main } = namesOf(namespaceOf(resource), resource.metadata.name);
  // Every partition is like the first.
  const [first = main] = partitionsOf(main, resource.spec);
  const queue = found.queues.get(first);
  return queue === undefined ? undefined : effectiveArguments(queue, found);
}

/** Whether the status says something else. */
export function isOtherwiseInForce(resource: SubscriptionResource, found: Inventory): boolean {
  const now = effectiveOf(resource, found);
  if (now === undefined) return false;
  const said = resource.status?.effectiveArguments ?? {};
  const names = Object.keys(now);
  return names.length !== Object.keys(said).length || names.some((name) => said[name] !== now[name]);
}
