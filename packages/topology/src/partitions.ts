/**
 * Ordering PerKey: the messages of a subscription lie in partitions, by their key, so that those of one key stay in order while
 * others go on beside them.
 *
 *   events ─▶ <queue>.keys ─┬▶ <queue>.partition.00
 *                           ├▶ <queue>.partition.01
 *                           └▶ …
 *
 * `<queue>.keys` is a consistent-hash exchange: it hashes the event's aggregateId, which every publisher sends as the header of
 * CloudEvents' subject. Publishers know nothing of it. An event without a subject has no key of its own: all of these share one.
 * Each partition has a single active consumer. One binding of weight 1 a partition, always made in their order.
 */
import type { BrokerCapabilities } from './capabilities.ts';
import type { Binding, Exchange } from './objects.ts';
import type { EventSubscriptionSpec } from './spec.ts';

/** The exchange type of the broker's plugin `rabbitmq_consistent_hash_exchange`. */
export const HASH_EXCHANGE = 'x-consistent-hash';

const PLUGIN_MISSING =
  'ordering PerKey needs the RabbitMQ plugin rabbitmq_consistent_hash_exchange: enable it on every node of the broker with ' +
  '`rabbitmq-plugins enable rabbitmq_consistent_hash_exchange`, or write ordering: Strict';

/** What to do where the broker lacks what the ordering needs; undefined where it does not. */
export function missingPlugin(
  { delivery }: Pick<EventSubscriptionSpec, 'delivery'>,
  { hashExchange }: Pick<BrokerCapabilities, 'hashExchange'>,
): string | undefined {
  return delivery.ordering === 'PerKey' && hashExchange === false ? PLUGIN_MISSING : undefined;
}

/** What is hashed: the aggregateId (packages/contracts, cloudevents.ts). */
export const KEY_HEADER = 'cloudEvents_subject';

export const DEFAULT_PARTITIONS = 8;

/** Names have two digits; the CRD allows fewer. */
export const MOST_PARTITIONS = 100;

/** The partitions of a subscription, in their order; none unless its ordering is PerKey. */
export function partitionsOf(queue: string, { delivery }: Pick<EventSubscriptionSpec, 'delivery'>): string[] {
  if (delivery.ordering !== 'PerKey') return [];
  const { partitions = DEFAULT_PARTITIONS } = delivery;
  return Array.from({ length: partitions }, (_, index) => partitionOf(queue, index));
}

/** Every name that a partition of the queue may have. */
export function partitionNamesOf(queue: string): string[] {
  return Array.from({ length: MOST_PARTITIONS }, (_, index) => partitionOf(queue, index));
}

/** Two digits, so that names sort as numbers do. */
export function partitionOf(queue: string, index: number): string {
  return `${queue}.partition.${String(index).padStart(2, '0')}`;
}

/** The queue whose messages a partition holds; undefined for a name of another form. */
export function queueOfPartition(name: string): string | undefined {
  return /^(.+)\.partition\.[0-9]{2}$/.exec(name)?.[1];
}

export function keysOf(queue: string): string {
  return `${queue}.keys`;
}

export function keysExchange(queue: string): Exchange {
  return {
    name: keysOf(queue),
    type: HASH_EXCHANGE,
    durable: true,
    autoDelete: false,
    arguments: { 'hash-header': KEY_HEADER },
  };
}

/** Which partition a key belongs to follows from these; the routing key is the weight. */
export function ringOf(queue: string, partitions: readonly string[]): Binding[] {
  return partitions.map((destination) => ({
    source: keysOf(queue),
    destination,
    destinationType: 'queue',
    routingKey: '1',
    arguments: {},
  }));
}

/** How many consumers can have something to do at the same time; more of them only stand by. */
export function maxConsumers({ delivery }: Pick<EventSubscriptionSpec, 'delivery'>): number {
  switch (delivery.ordering) {
    case 'None':
      return Infinity;
    case 'PerKey':
      return delivery.partitions ?? DEFAULT_PARTITIONS;
    case 'Strict':
      return 1;
  }
}
