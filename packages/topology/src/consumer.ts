/** What a consumer needs to know of its subscription. */
import { exchangesOf } from './capabilities.ts';
import { namesOf, waitQueueOf } from './names.ts';
import { partitionsOf } from './partitions.ts';
import { retryDelays } from './retry.ts';
import type { BrokerCapabilities } from './capabilities.ts';
import { retryModeOf, streamQueuesOf } from './queue-types.ts';
import type { StreamQueues } from './queue-types.ts';
import type { EventSubscriptionSpec, Subscription } from './spec.ts';

/** Certificates as PEM: of who may have signed the broker's, and the client's own. */
export type TlsEntries = Readonly<Partial<Record<'ca.crt' | 'tls.crt' | 'tls.key', string>>>;

/** Made here, acted on by the consumer of @warren/rabbitmq. */
export interface ConsumerSettings {
  /** `namespace/name`, for headers and observers. */
  subscription: string;
  queue: string;
  /**
   * Where the messages lie by their key (ordering PerKey), instead of in `queue`: each is consumed like a strict queue. None:
   * there is nothing to consume now.
   */
  partitions?: readonly string[];
  prefetch: number;
  /** How often a message is tried in all before it becomes a dead letter. */
  attempts: number;
  deadLetter: { exchange: string; routingKey: string };
  /** `waits[n - 1]` holds a message after its n-th failure; the last one holds all later failures too. */
  retry:
    | { mode: 'broker' }
    | { mode: 'ladder'; waits: { queue: string; delayMs: number }[] }
    /** The consumer waits itself, with the message in hand, so that none overtakes it; `delays` as `waits`: milliseconds. */
    | { mode: 'in-place'; delays: number[] };
  /** One message at a time, in order. */
  strict: boolean;
  /** The queue is a stream; retries are of a ladder then, or in place. */
  stream?: StreamSettings;
}

/** How a stream is read. */
export interface StreamSettings extends StreamQueues {
  /** Where a reader begins that has no place in it yet: `first`, or an ISO 8601 time. */
  startFrom: string;
}

export function consumerSettings(
  { namespace, name, spec }: Subscription,
  capabilities: BrokerCapabilities,
): ConsumerSettings {
  const { queue } = namesOf(namespace, name);
  const { prefetch, ordering, retry } = spec.delivery;
  return {
    subscription: `${namespace}/${name}`,
    queue,
    prefetch,
    attempts: retry.attempts,
    deadLetter: { exchange: exchangesOf(capabilities).failedEvents, routingKey: queue },
    ...(ordering === 'PerKey' ? { partitions: partitionsOf(queue, spec) } : {}),
    retry: retryOf(queue, spec, capabilities),
    strict: ordering !== 'None',
    ...(spec.queue.type === 'stream'
      ? { stream: { ...streamQueuesOf(queue), startFrom: beginningOf(spec.startFrom) } }
      : {}),
  };
}

function retryOf(
  queue: string,
  spec: EventSubscriptionSpec,
  capabilities: BrokerCapabilities,
): ConsumerSettings['retry'] {
  const mode = retryModeOf(spec, capabilities);
  if (mode === 'broker') return { mode };
  const delays = retryDelays(spec.delivery.retry);
  if (mode === 'in-place') return { mode, delays };
  return { mode, waits: delays.map((delayMs) => ({ queue: waitQueueOf(queue, delayMs), delayMs })) };
}

/** `Now` is when the subscription was made, and with it its stream: so both of them are its first event. */
function beginningOf(startFrom: string): string {
  return ['Now', 'Earliest'].includes(startFrom) ? 'first' : startFrom;
}

/**
 * The entries of a subscription's binding, one file a key (Service Binding specification); packages/service reads them.
 *
 * @param uri the broker with credentials, `amqp://user:password@host:port/vhost`: this makes the result a secret
 * @param tls certificates for amqps, as PEM, under the keys that the operator's own Secret has them
 */
export function bindingEntries(
  subscription: Subscription,
  capabilities: BrokerCapabilities,
  uri: string,
  tls: TlsEntries = {},
): Record<string, string> {
  const {
    subscription: id,
    queue,
    prefetch,
    attempts,
    deadLetter,
    retry,
    stream,
    partitions,
  } = consumerSettings(subscription, capabilities);
  return {
    type: 'rabbitmq',
    provider: 'warren',
    uri,
    ...tls,
    subscription: id,
    queue,
    prefetch: String(prefetch),
    attempts: String(attempts),
    'events-exchange': exchangesOf(capabilities).events,
    ordering: subscription.spec.delivery.ordering,
    'retry-mode': retry.mode,
    ...(partitions === undefined ? {} : { partitions: JSON.stringify(partitions) }),
    ...(retry.mode === 'ladder' ? { 'retry-waits': JSON.stringify(retry.waits) } : {}),
    ...(retry.mode === 'in-place' ? { 'retry-delays': JSON.stringify(retry.delays) } : {}),
    ...(stream === undefined
      ? {}
      : {
          'queue-type': 'stream',
          'stream-offsets': stream.offsets,
          'stream-retries': stream.retries,
          'stream-start-from': stream.startFrom,
        }),
    'dead-letter-exchange': deadLetter.exchange,
    'dead-letter-routing-key': deadLetter.routingKey,
  };
}
