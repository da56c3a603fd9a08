/**
 * What a failed delivery becomes: pure decisions, and the headers that carry them.
 *
 * | the handler's failure                 | broker mode           | ladder mode                                     |
 * |---------------------------------------|-----------------------|-------------------------------------------------|
 * | permanent (any attempt)               | dead letter           | dead letter                                     |
 * | any other, attempt < attempts         | reject, the broker    | publish to the wait queue of this attempt, with |
 * |                                       | delays it             | `warren-attempt` + 1, then ack                  |
 * | any other, on the last attempt        | dead letter           | dead letter                                     |
 *
 * In place (ordered subscriptions), a failure that is neither permanent nor the last is held: the consumer keeps the message,
 * waits, and handles it again before any that came after it.
 *
 * A dead letter is published to `failed_events` with the reason and confirmed before the delivery is acknowledged.
 */
import { inspect } from 'node:util';
import type { ConsumerSettings } from '@warren/topology';
import { isPermanent } from './errors.ts';
import { headerNames, type Delivery, type MessageProperties } from './message.ts';

/** Published elsewhere, confirmed, then acknowledged. */
export type AsideFate = { kind: 'wait'; queue: string } | { kind: 'dead-letter' };
export type Fate = { kind: 'reject' } | { kind: 'hold'; delayMs: number } | AsideFate;

export function fateOf(settings: ConsumerSettings, attempt: number, error: unknown): Fate {
  if (isPermanent(error) || attempt >= settings.attempts) return { kind: 'dead-letter' };
  if (settings.retry.mode === 'broker') return { kind: 'reject' };
  if (settings.retry.mode === 'in-place') {
    const { delays } = settings.retry;
    return { kind: 'hold', delayMs: delays[Math.min(attempt, delays.length) - 1] ?? 0 };
  }
  const { waits } = settings.retry;
  const wait = waits[Math.min(attempt, waits.length) - 1];
  return wait === undefined ? { kind: 'reject' } : { kind: 'wait', queue: wait.queue };
}

type Headers = Readonly<Record<string, unknown>>;

function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/**
 * From 1. The broker counts in `x-delivery-count`; the ladder in a header of our own, since it publishes anew. Who waits in
 * place counts himself: each time a consumer goes, the broker counts all that it had in hand, tried or not.
 */
export function attemptOf(settings: ConsumerSettings, headers: Headers | undefined): number {
  if (settings.retry.mode === 'in-place') return 1;
  return settings.retry.mode === 'broker'
    ? (wholeNumber(headers?.['x-delivery-count']) ?? 0) + 1
    : Math.max(1, wholeNumber(headers?.[headerNames.attempt]) ?? 1);
}

/** What the broker wrote, or would act on again: never to be published a second time. */
const brokerHeaders = /^(x-death|x-(first|last)-death-.*|x-delivery-count|x-acquired-count|x-opt-.*|CC|BCC)$/;
const ownHeaders = new Set<string>(Object.values(headerNames));
const REASON_BYTES = 2_048;
const CODE_BYTES = 128;

/** Valid UTF-8 of at most `bytes`, without control characters: fit for a header, a log line and a page. */
export function headerText(text: string, bytes: number): string {
  // eslint-disable-next-line no-control-regex
  const clean = text.toWellFormed().replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '\ufffd');
  const encoded = Buffer.from(clean);
  if (encoded.length <= bytes) return clean;
  const mark = '…';
  let end = bytes - Buffer.byteLength(mark);
  while (end > 0 && ((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1; // not inside a character
  return encoded.toString('utf8', 0, end) + mark;
}

function reasonOf(error: unknown): { reason: string; code: string } {
  if (!(error instanceof Error)) return { reason: headerText(textOf(error), REASON_BYTES), code: 'UNKNOWN' };
  const { code } = error as { code?: unknown };
  return {
    reason: headerText(error.message === '' ? error.name : error.message, REASON_BYTES),
    code: headerText(
      typeof code === 'string' || typeof code === 'number' ? String(code) : error.name,
      CODE_BYTES,
    ),
  };
}

function textOf(value: unknown): string {
  try {
    return typeof value === 'string' ? value : inspect(value, { depth: 2 });
  } catch {
    return 'a value that can not be shown was thrown';
  }
}

export interface Failure {
  settings: ConsumerSettings;
  delivery: Delivery;
  error: unknown;
  at: Date;
}

export function retryHeaders({ delivery }: Failure): Record<string, unknown> {
  return {
    [headerNames.originalRoutingKey]: delivery.routingKey,
    [headerNames.originalExchange]: delivery.exchange,
    [headerNames.attempt]: delivery.attempt + 1,
  };
}

export function deadLetterHeaders({ settings, delivery, error, at }: Failure): Record<string, unknown> {
  const { reason, code } = reasonOf(error);
  return {
    [headerNames.originalRoutingKey]: delivery.routingKey,
    [headerNames.originalExchange]: delivery.exchange,
    [headerNames.failureReason]: reason,
    [headerNames.failureCode]: code,
    [headerNames.failureAttempts]: delivery.attempt,
    [headerNames.failureSubscription]: settings.subscription,
    [headerNames.failedAt]: at.toISOString(),
  };
}

/**
 * The properties to publish a delivery with again. `expiration` and `userId` are left out: the first would let the
 * message vanish, the second is refused when another user publishes.
 */
export function republished(
  properties: MessageProperties,
  headers: Record<string, unknown>,
): MessageProperties {
  const {
    contentType,
    contentEncoding,
    correlationId,
    replyTo,
    messageId,
    timestamp,
    type,
    appId,
    priority,
  } = properties;
  const kept = Object.entries(properties.headers ?? {}).filter(
    ([name]) => !brokerHeaders.test(name) && !ownHeaders.has(name),
  );
  return {
    ...{ contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, priority },
    headers: { ...Object.fromEntries(kept), ...headers },
  };
}

const SMALL_HEADER_BYTES = 1_024;
const ALL_HEADERS_BYTES = 24 * 1_024;

/**
 * The same with only the headers that AMQP surely carries: small texts, numbers and booleans, ours first. For a message
 * whose headers fill the frame already, so that a reason no longer fits: it must reach the dead letters all the same.
 */
export function slimmed(properties: MessageProperties): MessageProperties {
  const all = Object.entries(properties.headers ?? {});
  const own = all.filter(([name]) => ownHeaders.has(name));
  const kept = Object.fromEntries(own);
  let room = ALL_HEADERS_BYTES;
  let dropped = 0;
  for (const [name, value] of all) {
    if (ownHeaders.has(name)) continue;
    const size = typeof value === 'string' ? Buffer.byteLength(value) : 8;
    const plain = ['string', 'boolean'].includes(typeof value) || Number.isSafeInteger(value);
    if (plain && size <= SMALL_HEADER_BYTES && size + name.length <= room) {
      kept[name] = value;
      room -= size + name.length;
    } else {
      dropped += 1;
    }
  }
  return { ...properties, headers: { ...kept, [headerNames.headersDropped]: dropped } };
}
