/** Why a subscription cannot have its names: somebody else has something there. */
import { foreignQueues, temporaryConflicts } from '@warren/topology';
import type { Inventory, Membership, WantedTopology } from '@warren/topology';
import type { SubscriptionResource } from '../resources.ts';
import { describeTaken, mayAdopt } from './claims.ts';
import { wasLetGo } from './hands-off.ts';

/** Of one that has not claimed them yet: sentences. What is wrong in other ways, the comparison tells. */
export function conflictsOf(
  resource: SubscriptionResource,
  wanted: WantedTopology,
  found: Inventory,
): string[] {
  const taken = takenFrom(resource, wanted, found);
  return [...(taken.length === 0 ? [] : [describeTaken(taken)]), ...temporaryConflicts(wanted.names, found)];
}

/** Its policies may have been foreseen on a reading in which somebody else's queue was not there yet: they name nothing of it any more. */
export function foreseenInError(
  resource: SubscriptionResource,
  wanted: WantedTopology,
  found: Inventory,
): Membership[] {
  if (takenFrom(resource, wanted, found).length === 0) return [];
  return wanted.memberships
    .map(({ queue }) => queue)
    .filter((queue) => found.policyIndex.byQueue.has(queue))
    .map((queue) => ({ queue, settings: undefined }));
}

function takenFrom(resource: SubscriptionResource, wanted: WantedTopology, found: Inventory): string[] {
  return mayAdopt(resource) || wasLetGo(resource) ? [] : foreignQueues(wanted, found);
}
