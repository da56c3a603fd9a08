/**
 * Where a subscription stands between one that releases its queues and one that claims them: both have to say so, in
 * annotations that name each other. Pure: from the resources alone.
 *
 *   old  warren.events/release-to: <new>    offered ─▶ releasing ─▶ released
 *   new  warren.events/claim-from: <old>    pending ─▶ takingOver ─▶ own
 *
 * A takeover that has begun says so in the new one's `status.migration`, one that is over in its `status.claimedFrom`. Whoever
 * takes back the consent before the new queue takes its events itself calls it off: then the old one has everything back.
 */
import { conditionOf } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import {
  CLAIM_ANNOTATION,
  PAUSED_ANNOTATION,
  RELEASE_ANNOTATION,
  UNMANAGED_ANNOTATION,
} from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import { isClaimed, isDeleting, keyOfBound } from './claims.ts';
import { appliedGenerationOf } from './status.ts';

/** Another subscription, by what an annotation says. */
export interface Partner {
  namespace: string;
  name: string;
  /** `namespace/name` */
  key: string;
}

export type Standing =
  | { standing: 'own' }
  /** It waits and makes nothing; where it had begun, it gives back what it has got. */
  | { standing: 'pending'; message: string; begun?: Partner }
  | { standing: 'takingOver'; old: Partner }
  /** It goes on as ever. `begun`: unless the other has gone too far to be called off. */
  | { standing: 'offered'; message?: string; begun?: Partner }
  /** The other one works on its objects. `begun`: and needs it no more. */
  | { standing: 'releasing'; to: Partner; begun: boolean }
  | { standing: 'released'; to: Partner };

/** What is to be known of the others. */
export interface Others {
  get(key: string): SubscriptionResource | undefined;
  /** Those that have begun to take over from the subscription of this key, by their status. */
  takersOf(key: string): readonly SubscriptionResource[];
}

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const KEY = new RegExp(`^(${LABEL})/(${LABEL})$`);

export function standingOf(resource: SubscriptionResource, others: Others): Standing {
  const claiming = claimingOf(resource, others);
  return claiming.standing === 'own' ? releasingOf(resource, others) : claiming;
}

/** The annotation, whether it makes sense or not. */
function saidBy({ metadata }: SubscriptionResource, annotation: string): string | undefined {
  return metadata.annotations?.[annotation];
}

function partnerOf(said: string): Partner | undefined {
  const [key, namespace, , name] = KEY.exec(said.trim()) ?? [];
  return key === undefined || namespace === undefined || name === undefined
    ? undefined
    : { key, namespace, name };
}

function claimingOf(
  resource: SubscriptionResource,
  others: Others,
): Extract<Standing, { standing: 'own' | 'pending' | 'takingOver' }> {
  const said = saidBy(resource, CLAIM_ANNOTATION);
  const taking = takenFrom(resource);
  // The old queue takes no events any more, or nobody is left to give back to: the new one has the rest, whoever says what.
  if (taking !== undefined && (isFinishing(resource) || others.get(taking.key) === undefined))
    return { standing: 'takingOver', old: taking };
  if (taking !== undefined && said?.trim() !== taking.key) {
    const message = `it does not claim ${taking.key} any more, and has got something of it`;
    return { standing: 'pending', message, begun: taking };
  }
  if (said === undefined || isOver(resource)) return { standing: 'own' };
  const old = partnerOf(said);
  if (old === undefined) return { standing: 'pending', message: unreadable(CLAIM_ANNOTATION, said) };
  const begun = taking !== undefined;
  const message = obstacle(resource, others, old, begun);
  if (message === undefined) return { standing: 'takingOver', old };
  return { standing: 'pending', message, ...(begun ? { begun: old } : {}) };
}

/** Of whom it has begun to take over, by its status. */
export function takenFrom(resource: SubscriptionResource): Partner | undefined {
  const { migration } = resource.status ?? {};
  return migration?.to === keyOfBound(resource) ? partnerOf(migration.from) : undefined;
}

/**
 * It has bindings of its own; or it keeps an order, and its consumers may have begun with what waited. The broker tells it a
 * moment earlier (topology's `isPastReturn`).
 */
function isFinishing({ spec, status }: SubscriptionResource): boolean {
  const { phase } = status?.migration ?? {};
  return phase === 'Finishing' || (phase === 'Returning' && spec.delivery.ordering !== 'None');
}

/** What it claims it has got. */
function isOver(resource: SubscriptionResource): boolean {
  const said = saidBy(resource, CLAIM_ANNOTATION);
  return said !== undefined && resource.status?.claimedFrom === said.trim();
}

/** Why it cannot be taken over (any more), with what to do. */
function obstacle(
  resource: SubscriptionResource,
  others: Others,
  { key: from }: Partner,
  begun: boolean,
): string | undefined {
  const key = keyOfBound(resource);
  const old = others.get(from);
  if (from === key) return `a subscription cannot take over from itself: remove ${CLAIM_ANNOTATION}`;
  if (!begun && isInUse(resource))
    return (
      `${key} takes its events already, and would get twice what arrives meanwhile: claim ${from} by a new EventSubscription, ` +
      `and remove ${CLAIM_ANNOTATION} from this one`
    );
  // The old one let go of it on its own deletion.
  if (old === undefined)
    return begun
      ? undefined
      : `there is no EventSubscription ${from} that this operator sees: make it, or remove ${CLAIM_ANNOTATION}`;
  if (saidBy(resource, RELEASE_ANNOTATION) !== undefined)
    return `it claims and is released at the same time: remove ${RELEASE_ANNOTATION} until it has taken over`;
  if (isDeleting(resource)) return isDeleting(old) && begun ? undefined : 'it is being deleted';
  if (saidBy(old, RELEASE_ANNOTATION)?.trim() !== key)
    return `${from} does not release its queues to it: annotate ${from} with ${RELEASE_ANNOTATION}=${key}`;
  const brokers = [old, resource].map(({ spec }) => spec.brokerRef.name);
  if (brokers[0] !== brokers[1])
    return `${from} is on the EventBroker "${brokers[0] ?? ''}": queues are taken over on the same one only`;
  // What it has begun it does when it may again; until it begins, the old one works on.
  for (const one of begun ? [old] : [old, resource])
    for (const annotation of [PAUSED_ANNOTATION, UNMANAGED_ANNOTATION])
      if (saidBy(one, annotation) === 'true')
        return `${keyOfBound(one)} has the annotation ${annotation}: remove it`;
  if (saidBy(old, CLAIM_ANNOTATION) !== undefined && !isOver(old))
    return `${from} has itself not taken over yet: this begins when that is done`;
  if (isStream(old))
    return (
      `${from} is a stream, and what is unread of it only its reader knows: remove ${CLAIM_ANNOTATION}, so that ${key} begins ` +
      `its own stream now, and delete ${from} when its consumer has read what is older (docs/how-to/move-rename-pause.md)`
    );
  if (isStream(resource))
    return `${key} is a stream, and ${from} is not: write the queue.type of ${from}, and stream when it has taken over`;
  if (begun) return undefined;
  const [taker] = others.takersOf(from);
  if (taker !== undefined)
    return `${keyOfBound(taker)} is taking over from ${from}: this begins when that is over`;
  if (old.status?.migration !== undefined)
    return `a queue of ${from} is being made anew: this begins when that is done`;
  if (!isClaimed(old) && !isReleasedTo(old, key)) return `${from} has no queue of its own yet`;
  return undefined;
}

/** Its own queues were made, and are bound. */
function isInUse(resource: SubscriptionResource): boolean {
  return isClaimed(resource) && appliedGenerationOf(resource) !== undefined;
}

function isStream({ spec }: SubscriptionResource): boolean {
  return spec.queue.type === 'stream';
}

function releasingOf(resource: SubscriptionResource, others: Others): Standing {
  const said = saidBy(resource, RELEASE_ANNOTATION);
  const key = keyOfBound(resource);
  const [taker] = others.takersOf(key);
  // Whoever has begun is the one, whatever is said by now; and this one may have been made anew meanwhile.
  const to = partnerOf(taker === undefined ? (said ?? resource.status?.releasedTo ?? '') : keyOfBound(taker));
  if (to === undefined)
    return said === undefined
      ? { standing: 'own' }
      : { standing: 'offered', message: unreadable(RELEASE_ANNOTATION, said) };
  const other = others.get(to.key);
  if (said !== undefined && (isReleasedTo(resource, to.key) || hasTakenOver(other, key)))
    return { standing: 'released', to };
  const begun = taker !== undefined;
  const claiming = other === undefined ? undefined : claimingOf(other, others);
  if (
    other !== undefined &&
    claiming?.standing === 'takingOver' &&
    claiming.old.key === key &&
    isClaimed(other)
  )
    return { standing: 'releasing', to, begun };
  const missing =
    begun && said?.trim() !== to.key
      ? `${to.key} has begun to take it over, and gives back first`
      : unclaimed(key, to, other, claiming);
  const message = said === undefined ? undefined : missing;
  return {
    standing: 'offered',
    ...(message === undefined ? {} : { message }),
    ...(begun ? { begun: to } : {}),
  };
}

function unclaimed(
  key: string,
  to: Partner,
  other: SubscriptionResource | undefined,
  claiming: Standing | undefined,
): string {
  if (other === undefined)
    return `there is no EventSubscription ${to.key} yet: make it, annotated with ${CLAIM_ANNOTATION}=${key}`;
  if (saidBy(other, CLAIM_ANNOTATION)?.trim() !== key)
    return `${to.key} does not claim it: annotate ${to.key} with ${CLAIM_ANNOTATION}=${key}`;
  return claiming?.standing === 'pending'
    ? `${to.key} waits: ${claiming.message}`
    : `${to.key} has not begun to take over yet`;
}

/** The condition by which one waits for the end of a release: `kubectl wait --for=condition=Released`. */
export function offerOf(standing: Standing): Said[] {
  if (standing.standing !== 'offered' || standing.message === undefined) return [];
  return [{ type: 'Released', status: 'False', reason: 'WaitingForClaim', message: standing.message }];
}

/** It said so itself when it was over. */
export function isReleasedTo({ status }: SubscriptionResource, key: string): boolean {
  return conditionOf(status?.conditions, 'Released')?.status === 'True' && status?.releasedTo === key;
}

function hasTakenOver(other: SubscriptionResource | undefined, key: string): boolean {
  return other !== undefined && isOver(other) && other.status?.claimedFrom === key;
}

function unreadable(annotation: string, said: string): string {
  return `${annotation} is "${said.slice(0, 100)}", which names no subscription: write namespace/name`;
}
