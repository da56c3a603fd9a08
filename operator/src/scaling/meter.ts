/**
 * What was seen of every subscription that scales, and what it needs by that. The broker is asked for all of them at once.
 * Kept in memory: after a start of the operator what was told before stays until enough was seen again.
 */
import { wantedTopology } from '@warren/topology';
import type { BrokerCapabilities } from '@warren/topology';
import type { QueueActivity } from '@warren/rabbitmq';
import type { SubscriptionResource } from '../resources.ts';
import { keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import { demandOf, isUnrefuted, limitsOf, unknown } from './demand.ts';
import type { Demand } from './demand.ts';
import { NOTHING_SEEN, observe } from './observation.ts';
import type { History, Observation } from './observation.ts';
import { toldBefore } from './state.ts';

/** The queues of a subscription: messages wait in each, and those in the second kind wait for their retry. */
export interface Queues {
  consumed: readonly string[];
  waits: readonly string[];
}

export function queuesOf(resource: SubscriptionResource, capabilities: BrokerCapabilities): Queues {
  const subscription = {
    namespace: namespaceOf(resource),
    name: resource.metadata.name,
    spec: resource.spec,
  };
  const { queues, names } = wantedTopology(subscription, capabilities);
  const waits = new Set(names.waitQueues);
  const consumed = queues.map(({ name }) => name);
  return {
    consumed: consumed.filter((name) => name !== names.deadLetterQueue && !waits.has(name)),
    waits: [...waits],
  };
}

const NOT_TOLD: QueueActivity = {
  ...{ ready: undefined, unacked: undefined, delayed: undefined, consumers: undefined },
  ...{ acked: undefined, redelivered: undefined, published: undefined },
};

/** Undefined where a number is not told. */
export function observationOf(
  { consumed, waits }: Queues,
  activity: ReadonlyMap<string, QueueActivity>,
  replicas: number,
  at: number,
): Observation | undefined {
  const now: Observation = {
    ...{ at, ready: 0, unacked: 0, delayed: 0, acked: 0, retried: 0, consumers: 0, replicas },
  };
  for (const name of consumed) {
    const { ready, unacked, delayed, consumers, acked, redelivered } = activity.get(name) ?? NOT_TOLD;
    if (ready === undefined || unacked === undefined || delayed === undefined) return undefined;
    if (consumers === undefined || acked === undefined || redelivered === undefined) return undefined;
    now.ready += ready;
    now.unacked += unacked;
    now.delayed += delayed;
    now.consumers += consumers;
    now.acked += acked;
    now.retried += redelivered;
  }
  for (const name of waits) {
    const { ready, unacked = 0, published = 0 } = activity.get(name) ?? {};
    if (ready === undefined) continue; // it was not needed yet
    now.delayed += ready + unacked;
    // A consumer publishes what it could not handle to a wait queue, and acknowledges it.
    now.acked = Math.max(0, now.acked - published);
    now.retried += published;
  }
  return now;
}

/** What was seen longer ago says nothing of now. */
const STALE_MS = 30_000;

export class Meter {
  readonly #histories = new Map<string, History>();
  /** When each was first asked for: milliseconds. */
  readonly #askedAt = new Map<string, number>();
  /** What an operator before this one told, for as long as nothing else is known: it had seen more. Of one spec. */
  readonly #told = new Map<string, { generation: number | undefined; demand: Demand }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** What the broker did not tell of is not seen. */
  see(
    resource: SubscriptionResource,
    queues: Queues,
    activity: ReadonlyMap<string, QueueActivity>,
    replicas: number,
  ): void {
    const key = keyOfBound(resource);
    const observation = observationOf(queues, activity, replicas, this.#now());
    if (observation === undefined) return;
    this.#histories.set(key, observe(this.#histories.get(key) ?? NOTHING_SEEN, observation));
  }

  /** Whether the broker told of it within so many milliseconds. */
  hasSeenWithin(key: string, ms: number): boolean {
    const at = this.#histories.get(key)?.last?.at;
    return at !== undefined && this.#now() - at <= ms;
  }

  forget(key: string): void {
    this.#histories.delete(key);
    this.#askedAt.delete(key);
    this.#told.delete(key);
  }

  /** Undefined while there was no time to see anything: what was said before a start of the operator stays. */
  demandOf(resource: SubscriptionResource): Demand | undefined {
    const limits = limitsOf(resource.spec);
    if (limits === undefined) return undefined;
    const key = keyOfBound(resource);
    const askedAt = this.#askedAt.get(key) ?? this.#begin(key, resource);
    const history = this.#histories.get(key) ?? NOTHING_SEEN;
    const seenAt = history.last?.at;
    if (this.#now() - (seenAt ?? askedAt) > STALE_MS)
      return unknown('StatisticsMissing', 'the broker does not tell how many messages wait and get done');
    if (seenAt === undefined) return undefined;
    const told = this.#told.get(key);
    const isOfThisSpec = told?.generation === resource.metadata.generation;
    if (told !== undefined && isOfThisSpec && isUnrefuted(told.demand, history, limits)) return told.demand;
    this.#told.delete(key);
    return demandOf(history, limits);
  }

  #begin(key: string, resource: SubscriptionResource): number {
    const now = this.#now();
    this.#askedAt.set(key, now);
    const demand = toldBefore(resource);
    if (demand !== undefined) this.#told.set(key, { generation: resource.metadata.generation, demand });
    return now;
  }
}
