/**
 * What a subscription's queue is, by its type: its arguments, what is tuned by policy, and what it needs beside it.
 *
 * |            | dead letters by the broker        | retries                      | how much waits       | priorities        |
 * |------------|-----------------------------------|------------------------------|----------------------|-------------------|
 * | `quorum`   | at least once                     | the broker's from 4.3, else  | maxLength, maxAge    | always, 4.0       |
 * |            |                                   | the ladder                   |                      |                   |
 * | `classic`  | at most once (an expired message  | the ladder                   | maxLength, maxAge    | maxPriority       |
 * |            | may be lost in a crash)           |                              |                      |                   |
 * | `stream`   | none                              | the ladder, back to          | maxAge: retention    | none              |
 * |            |                                   | `<queue>.retry`              |                      |                   |
 *
 * Where the order is kept (Strict, PerKey) the consumer waits itself, with the message in hand, whatever the type: what gives a
 * message back and delays it lets others overtake it.
 */
import type { BrokerCapabilities } from './capabilities.ts';
import { parseDuration } from './duration.ts';
import type { Queue, Settings } from './objects.ts';
import { wholeDelay } from './retry.ts';
import type { EventSubscriptionSpec } from './spec.ts';

/** Crashes that a message survives beyond its attempts: a crash returns innocent messages too (ADR 0005). */
const CRASHES = 20;

/**
 * RabbitMQ takes a message from a consumer that has had it for 30 minutes: up to 4.2 that counts as a delivery, and on any version
 * another replica gets it, which knows nothing of its attempts. A consumer that waits itself would never come to the last one.
 */
const CONSUMER_TIMEOUT_MS = 30 * 60_000;
/** Of that time, as much as a consumer may wait; the rest is for its attempts. */
const LONGEST_IN_HAND_MS = 15 * 60_000;

/** Beside a stream: the place up to which it was read, and the messages that are to be tried again. */
export interface StreamQueues {
  /** `<queue>.offset`: one message, in the hands of whoever reads the stream. */
  offsets: string;
  /** `<queue>.retry`: where the ladder's wait queues give back to. */
  retries: string;
}

export function streamQueuesOf(queue: string): StreamQueues {
  return { offsets: `${queue}.offset`, retries: `${queue}.retry` };
}

/** Who delays a retry: the broker itself, wait queues, or the consumer. */
export function retryModeOf(
  { queue, delivery }: Pick<EventSubscriptionSpec, 'queue' | 'delivery'>,
  { delayedRetry }: BrokerCapabilities,
): 'broker' | 'ladder' | 'in-place' {
  if (delivery.ordering !== 'None') return 'in-place';
  return queue.type === 'quorum' && delayedRetry ? 'broker' : 'ladder';
}

/** The queue itself. @param deadLetterExchange where the broker sends what it gives up */
export function mainQueue(
  name: string,
  { queue, delivery }: EventSubscriptionSpec,
  deadLetterExchange: string,
): Queue {
  const type = { 'x-queue-type': queue.type };
  if (queue.type === 'stream') return durable(name, type);
  const { 'x-dead-letter-strategy': strategy, ...deadLetters } = deadLettersTo(deadLetterExchange, name);
  return durable(name, {
    ...type,
    ...deadLetters,
    ...(queue.type === 'quorum' ? { 'x-dead-letter-strategy': strategy } : {}),
    ...(queue.type === 'classic' && queue.maxPriority !== undefined
      ? { 'x-max-priority': queue.maxPriority }
      : {}),
    ...(delivery.ordering !== 'None' ? { 'x-single-active-consumer': true } : {}),
  });
}

/** What is tuned about the queue itself; undefined where nothing is, for no policy may be empty. */
export function mainSettings(
  { delivery, queue }: EventSubscriptionSpec,
  capabilities: BrokerCapabilities,
): Settings | undefined {
  const maxAgeMs = queue.maxAge === undefined ? undefined : parseDuration(queue.maxAge);
  const retention: Settings = maxAgeMs === undefined ? {} : { 'max-age': `${Math.ceil(maxAgeMs / 1_000)}s` };
  const timeout = consumerTimeout(delivery);
  if (queue.type === 'stream') return settingsOf({ ...retention, ...timeout });
  const { attempts, backoff } = delivery.retry;
  return settingsOf({
    ...timeout,
    ...(queue.type === 'quorum' ? { 'delivery-limit': attempts + CRASHES } : {}),
    ...(retryModeOf({ queue, delivery }, capabilities) === 'broker'
      ? {
          'delayed-retry-type': 'all',
          'delayed-retry-min': parseDuration(backoff.initial),
          'delayed-retry-max': parseDuration(backoff.max),
        }
      : {}),
    ...(queue.maxLength === undefined ? {} : { 'max-length': queue.maxLength }),
    ...(maxAgeMs === undefined ? {} : { 'message-ttl': maxAgeMs }),
  });
}

/** Where a message can be in hand for longer than the broker allows. */
function consumerTimeout({ ordering, retry }: EventSubscriptionSpec['delivery']): Settings {
  const inHandMs = ordering === 'None' ? 0 : wholeDelay(retry);
  return inHandMs <= LONGEST_IN_HAND_MS ? {} : { 'consumer-timeout': inHandMs + CONSUMER_TIMEOUT_MS };
}

function settingsOf(settings: Settings): Settings | undefined {
  return Object.keys(settings).length === 0 ? undefined : settings;
}

/** What is needed beside the queue, with its settings: nothing but for a stream. */
export function besideQueue(
  name: string,
  { queue, delivery }: EventSubscriptionSpec,
  deadLetterExchange: string,
  capabilities: BrokerCapabilities,
): { queue: Queue; settings: Settings | undefined }[] {
  if (queue.type !== 'stream') return [];
  const { offsets, retries } = streamQueuesOf(name);
  return [
    {
      queue: quorumQueue(offsets, { 'x-single-active-consumer': true }),
      settings: neverGivenUp(capabilities),
    },
    {
      queue: quorumQueue(retries, deadLettersTo(deadLetterExchange, name)),
      settings: { 'delivery-limit': delivery.retry.attempts + CRASHES, ...consumerTimeout(delivery) },
    },
  ];
}

/** What has nowhere to go must not be dropped for having been given back too often. */
export function neverGivenUp({ deliveryLimitByDefault }: BrokerCapabilities): Settings | undefined {
  return deliveryLimitByDefault ? { 'delivery-limit': -1 } : undefined;
}

export function quorumQueue(name: string, args: Record<string, unknown>): Queue {
  return durable(name, { 'x-queue-type': 'quorum', ...args });
}

/** At least once needs both of the last two; with either missing the broker falls back to at most once, silently. */
export function deadLettersTo(exchange: string, routingKey: string): Record<string, unknown> {
  return {
    'x-dead-letter-exchange': exchange,
    'x-dead-letter-routing-key': routingKey,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}

function durable(name: string, args: Record<string, unknown>): Queue {
  return { name, durable: true, autoDelete: false, arguments: args };
}

/** Whoever has one consumer at a time has an order to keep. */
export function keepsOrder(queue: Pick<Queue, 'arguments'>): boolean {
  return queue.arguments['x-single-active-consumer'] === true;
}
