/** What a consumer needs to know of its subscription. */
import { FAILED_EVENTS_EXCHANGE, namesOf, waitQueueOf } from './names.ts';
import { retryDelays } from './retry.ts';
import type { BrokerCapabilities } from './capabilities.ts';
import type { Subscription } from './spec.ts';

/** As in @warren/rabbitmq, which reads it. */
export interface ConsumerSettings {
  /** `namespace/name` */
  subscription: string;
  queue: string;
  prefetch: number;
  attempts: number;
  deadLetter: { exchange: string; routingKey: string };
  /** `waits[n - 1]` holds a message after its n-th failure; the last one holds all later failures too. */
  retry: { mode: 'broker' } | { mode: 'ladder'; waits: { queue: string; delayMs: number }[] };
  /** One message at a time, in order. */
  strict: boolean;
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
    deadLetter: { exchange: FAILED_EVENTS_EXCHANGE, routingKey: queue },
    retry: capabilities.delayedRetry
      ? { mode: 'broker' }
      : {
          mode: 'ladder',
          waits: retryDelays(retry).map((delayMs) => ({ queue: waitQueueOf(queue, delayMs), delayMs })),
        },
    strict: ordering === 'Strict',
  };
}

/**
 * The entries of a subscription's binding, one file a key (Service Binding specification); packages/service reads them.
 *
 * @param uri the broker with credentials, `amqp://user:password@host:port/vhost`: this makes the result a secret
 */
export function bindingEntries(
  subscription: Subscription,
  capabilities: BrokerCapabilities,
  uri: string,
): Record<string, string> {
  const {
    subscription: id,
    queue,
    prefetch,
    attempts,
    deadLetter,
    retry,
  } = consumerSettings(subscription, capabilities);
  return {
    type: 'rabbitmq',
    provider: 'warren',
    uri,
    subscription: id,
    queue,
    prefetch: String(prefetch),
    attempts: String(attempts),
    ordering: subscription.spec.delivery.ordering,
    'retry-mode': retry.mode,
    ...(retry.mode === 'ladder' ? { 'retry-waits': JSON.stringify(retry.waits) } : {}),
    'dead-letter-exchange': deadLetter.exchange,
    'dead-letter-routing-key': deadLetter.routingKey,
  };
}
