/** What a subscription wants on the broker. */
import { isEventTypeName, routingKeyOf } from '@warren/contracts/routing-key';
import { consumerSettings } from './consumer.ts';
import { parseDuration } from './duration.ts';
import { EVENTS_EXCHANGE, FAILED_EVENTS_EXCHANGE, namesOf } from './names.ts';
import type { BrokerCapabilities } from './capabilities.ts';
import type { Binding, Exchange, Queue, Settings, WantedTopology } from './objects.ts';
import type { EventSubscriptionSpec, Subscription } from './spec.ts';

/** Crashes that a message survives beyond its attempts: a crash returns innocent messages too (ADR 0005). */
const CRASHES = 20;

export function wantedTopology(subscription: Subscription, capabilities: BrokerCapabilities): WantedTopology {
  const { namespace, name, spec } = subscription;
  const { queue, deadLetterQueue } = namesOf(namespace, name);
  const { retry } = consumerSettings(subscription, capabilities);
  const waits = retry.mode === 'ladder' ? retry.waits : [];
  return {
    exchanges: [topicExchange(EVENTS_EXCHANGE), topicExchange(FAILED_EVENTS_EXCHANGE)],
    queues: [
      quorumQueue(deadLetterQueue, {}),
      ...waits.map((wait) =>
        quorumQueue(wait.queue, { ...deadLettersTo('', queue), 'x-message-ttl': wait.delayMs }),
      ),
      quorumQueue(queue, {
        ...deadLettersTo(FAILED_EVENTS_EXCHANGE, queue),
        ...(spec.delivery.ordering === 'Strict' ? { 'x-single-active-consumer': true } : {}),
      }),
    ],
    bindings: [
      binding(FAILED_EVENTS_EXCHANGE, deadLetterQueue, queue),
      ...routingKeysOf(spec.events).map((key) => binding(EVENTS_EXCHANGE, queue, key)),
    ],
    memberships: [
      { queue: deadLetterQueue, settings: deadLetterSettings(spec, capabilities) },
      { queue, settings: queueSettings(spec, capabilities) },
    ],
    names: { queue, deadLetterQueue, waitQueues: waits.map((wait) => wait.queue) },
  };
}

/** The keys of a spec's events, each once, in the order of the spec: `OrderPlaced` is `order.placed`, a pattern is itself. */
export function routingKeysOf(events: readonly string[]): string[] {
  return [...new Set(events.map((event) => (isEventTypeName(event) ? routingKeyOf(event) : event)))];
}

function topicExchange(name: string): Exchange {
  return { name, type: 'topic', durable: true, autoDelete: false, arguments: {} };
}

function quorumQueue(name: string, args: Record<string, unknown>): Queue {
  return { name, durable: true, autoDelete: false, arguments: { 'x-queue-type': 'quorum', ...args } };
}

/** At least once needs both of the last two; with either missing the broker falls back to at most once, silently. */
function deadLettersTo(exchange: string, routingKey: string): Record<string, unknown> {
  return {
    'x-dead-letter-exchange': exchange,
    'x-dead-letter-routing-key': routingKey,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}

function binding(source: string, destination: string, routingKey: string): Binding {
  return { source, destination, destinationType: 'queue', routingKey, arguments: {} };
}

function queueSettings(
  { delivery, queue }: EventSubscriptionSpec,
  { delayedRetry }: BrokerCapabilities,
): Settings {
  const { attempts, backoff } = delivery.retry;
  return {
    'delivery-limit': attempts + CRASHES,
    ...(delayedRetry
      ? {
          'delayed-retry-type': 'all',
          'delayed-retry-min': parseDuration(backoff.initial),
          'delayed-retry-max': parseDuration(backoff.max),
        }
      : {}),
    ...(queue.maxLength === undefined ? {} : { 'max-length': queue.maxLength }),
  };
}

function deadLetterSettings({ delivery }: EventSubscriptionSpec, capabilities: BrokerCapabilities): Settings {
  return {
    'message-ttl': parseDuration(delivery.deadLetter.maxAge),
    // A dead letter has nowhere to go: a limit would drop it when whoever looks at it gives it back too often.
    ...(capabilities.deliveryLimitByDefault ? { 'delivery-limit': -1 } : {}),
  };
}
