/** What is worth telling when a status changes. Pure, and silent where the status says nothing new. */
import { conditionOf } from '../conditions.ts';
import type { SubscriptionStatus } from '../resources.ts';
import type { StoryEvent } from '../source.ts';

/** The EventBroker tells of the first two, once for all its subscriptions; a deletion and a migration tell of their ends. */
const TOLD_ELSEWHERE = new Set([
  'BrokerUnavailable',
  'NotAdministrator',
  'Deleting',
  'Making',
  'Migrating',
  'TakingOver',
]);

const ACTIONS: Record<string, string> = { Drifted: 'Compare', MessagesLeft: 'Delete', BindingTaken: 'Bind' };

export function storyOf(
  before: SubscriptionStatus | undefined,
  after: SubscriptionStatus,
): StoryEvent | undefined {
  const was = conditionOf(before?.conditions, 'TopologyInSync');
  const is = conditionOf(after.conditions, 'TopologyInSync');
  if (is === undefined || (was?.reason === is.reason && was.message === is.message)) return undefined;
  if (TOLD_ELSEWHERE.has(is.reason)) return undefined;
  // What is left where changes while it is worked off.
  if (is.reason === 'MessagesLeft' && was?.reason === 'MessagesLeft') return undefined;
  if (is.reason !== 'InSync')
    return {
      type: 'Warning',
      reason: is.reason,
      action: ACTIONS[is.reason] ?? 'Reconcile',
      message: is.message,
    };
  if (was?.reason === 'Drifted')
    return { type: 'Normal', reason: 'Repaired', action: 'Repair', message: 'the broker is as wanted again' };
  const ready = conditionOf(after.conditions, 'Ready');
  if (ready === undefined || ready.status === conditionOf(before?.conditions, 'Ready')?.status)
    return undefined;
  return { type: 'Normal', reason: 'Ready', action: 'Reconcile', message: ready.message };
}
