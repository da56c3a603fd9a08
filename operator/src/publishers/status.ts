/** What an EventPublisher's status says. Pure. */
import { routingKeysOf } from '@warren/topology';
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Condition, PublisherResource, PublisherStatus } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import { bindingNameOf } from '../users/handout.ts';

const READY = 'Ready';

export interface Conclusion {
  /** As it was where it is not there. */
  ready?: Condition['status'];
  reason: string;
  message: string;
  /** Whether the binding is there; as it was where it is not said. */
  isBound?: boolean;
  /** The spec was not acted on: the generation stays that of the one before. */
  isHandsOff?: boolean;
}

export function publisherStatus(
  { metadata, status: before }: PublisherResource,
  { ready, reason, message, isBound, isHandsOff, binding }: Conclusion & { binding: string },
  now: string,
): PublisherStatus {
  const generation = isHandsOff === true ? before?.observedGeneration : metadata.generation;
  const status = ready ?? conditionOf(before?.conditions, READY)?.status ?? 'Unknown';
  const bound = isBound ?? before?.binding !== undefined;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: conditionsAfter(
      before?.conditions,
      [{ type: READY, status, reason, message }],
      generation,
      now,
    ),
    ...(bound ? { binding: { name: binding } } : {}),
  };
}

/** It has what this very spec says. */
export function isSettled({ metadata, status }: PublisherResource): boolean {
  const ready = conditionOf(status?.conditions, READY);
  return ready?.status === 'True' && ready.observedGeneration === metadata.generation;
}

export function describeReady(resource: PublisherResource, exchange: string, ownUser: boolean): string {
  const { events } = resource.spec;
  const what = events === undefined ? 'every event' : routingKeysOf(events).join(', ');
  const as = ownUser
    ? `as a user of its own, which may publish ${what} and nothing else`
    : 'as the user of the EventBroker, which may do everything: consumerCredentials.mode PerSubscription gives it one of its own';
  return `${bindingNameOf(resource)} is its way to the exchange ${exchange}, ${as}`;
}

/** Told once for each change of what Ready says. */
export function storyOfPublisher(
  before: PublisherStatus | undefined,
  after: PublisherStatus,
): StoryEvent | undefined {
  const [was, is] = [before, after].map((status) => conditionOf(status?.conditions, READY));
  if (is === undefined || (was?.status === is.status && was.reason === is.reason)) return undefined;
  const { status, reason, message } = is;
  return { type: status === 'False' ? 'Warning' : 'Normal', reason, action: 'Bind', message };
}
