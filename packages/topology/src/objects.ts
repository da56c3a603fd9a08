/**
 * Broker objects, wanted and found. The shapes are those of the management API's client in @warren/rabbitmq, field by field,
 * so that what it found goes in here and what comes out goes to it.
 */
import type { ExchangeNames } from './names.ts';

export interface Exchange {
  name: string;
  type: string;
  durable: boolean;
  autoDelete: boolean;
  arguments: Record<string, unknown>;
}

export interface Queue {
  name: string;
  durable: boolean;
  autoDelete: boolean;
  arguments: Record<string, unknown>;
}

export interface Binding {
  source: string;
  destination: string;
  destinationType: 'queue' | 'exchange';
  routingKey: string;
  arguments: Record<string, unknown>;
}

/** What a policy sets: `delivery-limit`, `message-ttl`, … */
export type Settings = Record<string, unknown>;

export interface Policy {
  name: string;
  pattern: string;
  /** `queues`, `quorum_queues`, `all`, … */
  applyTo: string;
  priority: number;
  definition: Settings;
}

export interface FoundExchange extends Exchange {
  internal: boolean;
}

export interface FoundQueue extends Queue {
  type: string;
  /** Of the connection that declared it: nobody else may consume, change or delete it. */
  exclusive?: boolean;
  /** Ready, unacknowledged and waiting for a retry. Undefined where the broker did not tell: that is not zero. */
  messages?: number | undefined;
  ready?: number | undefined;
  unacked?: number | undefined;
  /** The policy that the broker applies; none, or it did not tell. */
  policy?: string | undefined;
  /** What its policies set, operator policies included, where the broker tells. */
  effective?: Settings | undefined;
}

/** Everything in one virtual host, as one bulk read gives it. */
export interface Found {
  exchanges: readonly FoundExchange[];
  queues: readonly FoundQueue[];
  bindings: readonly Binding[];
  policies: readonly Policy[];
  /** What administrators set over them; none where nobody asked. */
  operatorPolicies?: readonly Policy[];
}

/** The settings a queue is to have by policy; none when it is to leave every policy of Warren's. */
export interface Membership {
  queue: string;
  settings: Settings | undefined;
}

/** What one subscription wants on the broker. */
export interface WantedTopology {
  exchanges: Exchange[];
  /** In the order in which they are made: dead letters, waits, then the queue itself. */
  queues: Queue[];
  bindings: Binding[];
  /** By queue: what is tuned, and therefore set by policy (ADR 0009). */
  memberships: Membership[];
  names: {
    queue: string;
    deadLetterQueue: string;
    waitQueues: string[];
    /** What holds the messages instead of the queue, in their order; none unless the ordering is PerKey. */
    partitions: string[];
    /** The exchange that leads to the partitions. */
    keys: string;
    exchanges: ExchangeNames;
  };
}
