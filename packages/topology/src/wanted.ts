/** What a subscription wants on the broker. */
import { isEventTypeName, routingKeyOf } from '@warren/contracts/routing-key';
import { consumerSettings } from './consumer.ts';
import { parseDuration } from './duration.ts';
import { exchangesOf } from './capabilities.ts';
import { namesOf } from './names.ts';
import { keysExchange, keysOf, partitionsOf, ringOf } from './partitions.ts';
import type { BrokerCapabilities } from './capabilities.ts';
import type { Binding, Exchange, Settings, WantedTopology } from './objects.ts';
import {
  besideQueue,
  deadLettersTo,
  mainQueue,
  mainSettings,
  neverGivenUp,
  quorumQueue,
} from './queue-types.ts';
import type { EventSubscriptionSpec, Subscription } from './spec.ts';

export function wantedTopology(subscription: Subscription, capabilities: BrokerCapabilities): WantedTopology {
  const { namespace, name, spec } = subscription;
  const { queue, deadLetterQueue } = namesOf(namespace, name);
  const exchanges = exchangesOf(capabilities);
  const { retry, stream } = consumerSettings(subscription, capabilities);
  const waits = retry.mode === 'ladder' ? retry.waits : [];
  const partitions = partitionsOf(queue, spec);
  const deliveries = partitions.length === 0 ? [queue] : partitions;
  const beside = besideQueue(queue, spec, exchanges.failedEvents, capabilities);
  return {
    exchanges: [
      topicExchange(exchanges.events),
      topicExchange(exchanges.failedEvents),
      ...(partitions.length === 0 ? [] : [keysExchange(queue)]),
    ],
    queues: [
      quorumQueue(deadLetterQueue, {}),
      ...waits.map((wait) =>
        quorumQueue(wait.queue, {
          ...deadLettersTo('', stream?.retries ?? queue),
          'x-message-ttl': wait.delayMs,
        }),
      ),
      ...beside.map((each) => each.queue),
      ...deliveries.map((each) => ({ ...mainQueue(queue, spec, exchanges.failedEvents), name: each })),
    ],
    bindings: [
      binding(exchanges.failedEvents, deadLetterQueue, queue),
      ...ringOf(queue, partitions),
      ...routingKeysOf(spec.events).map((key) =>
        partitions.length === 0
          ? binding(exchanges.events, queue, key)
          : { ...binding(exchanges.events, keysOf(queue), key), destinationType: 'exchange' as const },
      ),
    ],
    memberships: [
      { queue: deadLetterQueue, settings: deadLetterSettings(spec, capabilities) },
      ...beside.map((each) => ({ queue: each.queue.name, settings: each.settings })),
      ...deliveries.map((each) => ({ queue: each, settings: mainSettings(spec, capabilities) })),
    ],
    names: {
      queue,
      deadLetterQueue,
      waitQueues: waits.map((wait) => wait.queue),
      partitions,
      keys: keysOf(queue),
      exchanges,
    },
  };
}

/** The keys of a spec's events, each once, in the order of the spec: `OrderPlaced` is `order.placed`, a pattern is itself. */
export function routingKeysOf(events: readonly string[]): string[] {
  return [...new Set(events.map((event) => (isEventTypeName(event) ? routingKeyOf(event) : event)))];
}

/** How both shared exchanges are made. */
export function topicExchange(name: string): Exchange {
  return { name, type: 'topic', durable: true, autoDelete: false, arguments: {} };
}

function binding(source: string, destination: string, routingKey: string): Binding {
  return { source, destination, destinationType: 'queue', routingKey, arguments: {} };
}

function deadLetterSettings({ delivery }: EventSubscriptionSpec, capabilities: BrokerCapabilities): Settings {
  return {
    'message-ttl': parseDuration(delivery.deadLetter.maxAge),
    // A dead letter has nowhere to go: a limit would drop it when whoever looks at it gives it back too often.
    ...neverGivenUp(capabilities),
  };
}
