/** What a migration says of itself: in the status, and at its beginning and its end. Pure. */
import type { MigrationStatus, SubscriptionResource } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import type { Pass } from './migrator.ts';

/** Once the queue was made anew nobody can see any more what it was: that is kept from before. */
export function progressOf(
  { status }: Pick<SubscriptionResource, 'status'>,
  { migration, moved, remaining }: Pass,
): MigrationStatus {
  const { queue, changes, phase } = migration;
  const before = status?.migration?.queue === queue ? status.migration : undefined;
  const words = (which: 'from' | 'to') =>
    changes.length === 0
      ? (before?.[which] ?? 'what it was')
      : changes.map((change) => `${change.property} ${change[which]}`).join(', ');
  const left = remaining ?? before?.remaining;
  return {
    queue,
    from: words('from'),
    to: changes.length === 0 && before === undefined ? 'what is wanted' : words('to'),
    phase,
    moved: (before?.moved ?? 0) + moved,
    ...(left === undefined ? {} : { remaining: left }),
  };
}

/** Undefined where the same migration was under way already. */
export function beginningOf(
  { status }: Pick<SubscriptionResource, 'status'>,
  { queue, from, to }: MigrationStatus,
): StoryEvent | undefined {
  if (status?.migration?.queue === queue) return undefined;
  return {
    type: 'Normal',
    reason: 'MigrationStarted',
    action: 'Migrate',
    message: `queue ${queue} is made anew, with its messages: ${from} becomes ${to}`,
  };
}

export function endOf({ queue, moved }: MigrationStatus): StoryEvent {
  return {
    type: 'Normal',
    reason: 'Migrated',
    action: 'Migrate',
    message: `queue ${queue} is as wanted; ${moved} messages were moved on the way`,
  };
}
