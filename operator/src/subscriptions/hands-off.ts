/**
 * Subscriptions that the operator keeps its hands off: paused, unmanaged, released to another one. Nothing is compared, changed
 * or repaired on the broker, and the binding stays. What was last known stays in the status, whose generation stays that of the
 * spec that was last acted on; only the reason says why nothing happens. But who may not use the broker any more loses its users
 * (users/revocation.ts).
 *
 * None of them holds a deletion: what is on the broker is left, and the finalizer goes. One that is released waits until the
 * other one has begun, for as long as any deletion waits for a broker.
 */
import { namesOf, temporaryNamesOf } from '@warren/topology';
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import { PAUSED_ANNOTATION, UNMANAGED_ANNOTATION } from '../resources.ts';
import type { SubscriptionResource, SubscriptionStatus } from '../resources.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import { hasFinalizer, isClaimed, isDeleting, isUntouched, namespaceOf, newestOf } from './claims.ts';
import { isReleasedTo, standingOf } from './handover.ts';
import type { Others, Standing } from './handover.ts';
import { appliedGenerationOf } from './status.ts';

export interface HandsOffOptions {
  source: Pick<
    ResourceSource,
    'subscriptions' | 'letGo' | 'removeFinalizer' | 'writeSubscriptionStatus' | 'namespaceIsEnding'
  >;
  /** How long a deletion waits for another one to begin taking over: milliseconds. */
  abandonAfterMs: number;
  tell: (resource: SubscriptionResource, story: StoryEvent) => void;
}

export interface AtRest {
  /** When to look again: milliseconds. Not there: when something changes. */
  requeueAfterMs?: number;
}

/** How soon to look whether the other one is done: milliseconds. */
const LOOK_AGAIN_MS = 1_000;
/** A namespace that is going waits so long for a takeover to begin: milliseconds. */
const BEGIN_MS = 30_000;

export function isPaused({ metadata }: Pick<SubscriptionResource, 'metadata'>): boolean {
  return metadata.annotations?.[PAUSED_ANNOTATION] === 'true';
}

export function isUnmanaged({ metadata }: Pick<SubscriptionResource, 'metadata'>): boolean {
  return metadata.annotations?.[UNMANAGED_ANNOTATION] === 'true';
}

/** Nothing on the broker is to be compared with what it says; not even for others' sake. */
export function isHandsOff(resource: SubscriptionResource, others: Others): boolean {
  if (isPaused(resource) || isUnmanaged(resource)) return true;
  const { standing } = standingOf(resource, others);
  return standing !== 'own' && standing !== 'offered';
}

/** Unmanaged until now, and the operator had made its objects: what is there is still its own. */
export function wasLetGo({ status }: SubscriptionResource): boolean {
  return (
    conditionOf(status?.conditions, 'TopologyInSync')?.reason === 'Unmanaged' && status?.binding !== undefined
  );
}

/** Undefined where the operator has its hands on. @param standing of the subscription */
export async function standAside(
  resource: SubscriptionResource,
  standing: Standing,
  { source, abandonAfterMs, tell }: HandsOffOptions,
): Promise<AtRest | undefined> {
  const deleting = isDeleting(resource);
  const queues = queuesOf(resource);
  const say = async (
    reason: string,
    message: string,
    more: { [Field in keyof SubscriptionStatus]?: SubscriptionStatus[Field] | undefined } = {},
    said: Said[] = [],
  ) => {
    // Whoever lets go takes back whatever has become of it; what is changed during a pause is drift.
    const applied = { appliedGeneration: undefined };
    const status = defined({ ...handsOffStatus(resource, reason, message, said), ...applied, ...more });
    if (isUntouched(resource)) await source.removeFinalizer(resource);
    if (!(await source.writeSubscriptionStatus(resource, status))) return;
    if (changes(resource.status, status))
      tell(resource, { type: 'Normal', reason, action: 'LetGo', message });
  };
  const leave = async (reason: string, message: string, type: StoryEvent['type'] = 'Normal') => {
    if (!hasFinalizer(resource)) return;
    if (isClaimed(resource)) tell(resource, { type, reason, action: 'Delete', message });
    await source.removeFinalizer(resource);
  };
  // The other one begins in a moment, or something is in its way for as long as nobody knows.
  const isTiredOfWaiting = async () => {
    const waited = waitedMs(resource);
    if (waited >= abandonAfterMs) return true;
    return waited >= BEGIN_MS && (await source.namespaceIsEnding(namespaceOf(resource)));
  };

  if (isUnmanaged(resource)) {
    const message =
      `${queues} are left as they are, with their settings${halfDone(resource)}; ` +
      `they are taken back when the annotation ${UNMANAGED_ANNOTATION} goes`;
    if (deleting)
      await leave('Unmanaged', `${queues} are left: the annotation ${UNMANAGED_ANNOTATION} says so`);
    else {
      const claimed = isClaimed(resource);
      // Said before it is done: that is how they are known again.
      await say('Unmanaged', message, claimed || wasLetGo(resource) ? {} : { binding: undefined });
      if (claimed) await source.letGo(newestOf(source.subscriptions, resource));
    }
    return {};
  }
  if (isPaused(resource)) {
    const message = `paused: nothing is changed or repaired until the annotation ${PAUSED_ANNOTATION} goes${halfDone(resource)}`;
    if (deleting) await leave('Retained', `deleted while paused: ${queues} and what they hold are left`);
    else await say('Paused', message, { appliedGeneration: appliedGenerationOf(resource) });
    return {};
  }
  if (standing.standing === 'releasing') {
    const { to, begun } = standing;
    if (deleting && begun) {
      await leave('Released', `${to.key} goes on taking over ${queues}`);
      return {};
    }
    if (deleting && (await isTiredOfWaiting())) {
      await leave('Abandoned', `${to.key} has not begun to take over ${queues}: they are left`, 'Warning');
      return {};
    }
    const message = `${to.key} is taking over ${queues}, with what they hold: its status.migration tells how far it is`;
    await say('Releasing', message, { releasedTo: to.key }, [
      { type: 'Released', status: 'False', reason: 'Moving', message },
    ]);
    return { requeueAfterMs: LOOK_AGAIN_MS };
  }
  if (standing.standing === 'released') {
    const { to } = standing;
    if (deleting) {
      await leave('Released', `${to.key} has taken over ${queues}: nothing is left to delete`);
      return {};
    }
    const message = `${to.key} has taken over ${queues}, with what they held: delete this EventSubscription, nothing else goes with it`;
    await say('Released', message, { releasedTo: to.key, claimedFrom: undefined, migration: undefined }, [
      { type: 'Released', status: 'True', reason: 'TakenOver', message },
    ]);
    const now = newestOf(source.subscriptions, resource);
    if (isClaimed(now) && isReleasedTo(now, to.key)) await source.letGo(now);
    return {};
  }
  return undefined;
}

/** Since it is being deleted, and in the hands of the other one. */
function waitedMs({ metadata, status }: SubscriptionResource): number {
  const said = conditionOf(status?.conditions, 'TopologyInSync');
  if (said?.reason !== 'Releasing') return 0;
  const since = [metadata.deletionTimestamp ?? '', said.lastTransitionTime].map((time) => Date.parse(time));
  return Date.now() - Math.max(...since);
}

function handsOffStatus(
  { status: before }: SubscriptionResource,
  reason: string,
  message: string,
  more: readonly Said[],
): SubscriptionStatus {
  const ready = conditionOf(before?.conditions, 'Ready');
  const isOver = reason === 'Released';
  const said: Said[] = [
    // Its consumers go on as they did.
    { type: 'Ready', status: isOver ? 'False' : (ready?.status ?? 'Unknown'), reason, message },
    { type: 'TopologyInSync', status: 'Unknown', reason, message },
    ...more,
  ];
  const types = new Set([...said.map(({ type }) => type), 'Released']);
  const kept = (before?.conditions ?? []).filter(({ type }) => !types.has(type));
  const anew = conditionsAfter(
    before?.conditions,
    said,
    before?.observedGeneration,
    new Date().toISOString(),
  );
  return { ...before, conditions: [...kept, ...anew].sort((a, b) => a.type.localeCompare(b.type)) };
}

/** Without what is to be left out. */
function defined(status: {
  [Field in keyof SubscriptionStatus]: SubscriptionStatus[Field] | undefined;
}): SubscriptionStatus {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined));
}

function changes(before: SubscriptionStatus | undefined, after: SubscriptionStatus): boolean {
  const [was, is] = [before, after].map((status) => conditionOf(status?.conditions, 'TopologyInSync'));
  return was?.reason !== is?.reason || was?.message !== is?.message;
}

/** Whoever stops in the middle is told where the events are meanwhile. */
function halfDone({ status }: SubscriptionResource): string {
  if (status?.migration === undefined) return '';
  const { arriving, waited } = temporaryNamesOf(status.migration.queue);
  return ` (in the middle of moving messages: until then what is published waits in ${arriving}, what waited in ${waited})`;
}

function queuesOf(resource: SubscriptionResource): string {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  return `the queues ${queue} and ${deadLetterQueue}`;
}
