/** Why a subscription cannot have its names: somebody else has something there. */
import { foreignQueues, temporaryConflicts } from '@warren/topology';
import type { Inventory, WantedTopology } from '@warren/topology';
import type { SubscriptionResource } from '../resources.ts';
import { describeTaken, mayAdopt } from './claims.ts';
import { wasLetGo } from './hands-off.ts';

/** Of one that has not claimed them yet: sentences. What is wrong in other ways, the comparison tells. */
export function conflictsOf(
  resource: SubscriptionResource,
  wanted: WantedTopology,
  found: Inventory,
): string[] {
  const taken = mayAdopt(resource) || wasLetGo(resource) ? [] : foreignQueues(wanted, found);
  return [...(taken.length === 0 ? [] : [describeTaken(taken)]), ...temporaryConflicts(wanted.names, found)];
}
