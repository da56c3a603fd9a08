/** What a broker can do, by its version; and what an EventBroker says of it that every object on it depends on. */
import { DEFAULT_EXCHANGES } from './names.ts';
import { HASH_EXCHANGE } from './partitions.ts';
import type { ExchangeNames } from './names.ts';

export interface BrokerCapabilities {
  /** Quorum queues retry with a delay of their own, and it can be set by policy: RabbitMQ 4.3.1 (ADR 0008). */
  delayedRetry: boolean;
  /** Quorum queues have a delivery limit of 20 where none is set, and -1 lifts it: RabbitMQ 4.0. */
  deliveryLimitByDefault: boolean;
  /** It has the exchange type that ordering PerKey needs; not there: nobody knows. */
  hashExchange?: boolean;
  /** What its shared exchanges are called; not there: `events` and `failed_events`. */
  exchanges?: ExchangeNames;
}

/**
 * @param version such as "4.3.6" or "4.3.0-rc.1". Of a version that cannot be read only the least is expected.
 * @param exchangeTypes what the broker says it has
 */
export function capabilitiesOf(version: string, exchangeTypes?: readonly string[]): BrokerCapabilities {
  return {
    ...(exchangeTypes === undefined ? {} : { hashExchange: exchangeTypes.includes(HASH_EXCHANGE) }),
    delayedRetry: isAtLeast(version, [4, 3, 1]),
    deliveryLimitByDefault: isAtLeast(version, [4, 0, 0]),
  };
}

export function exchangesOf({ exchanges = DEFAULT_EXCHANGES }: BrokerCapabilities): ExchangeNames {
  return exchanges;
}

function isAtLeast(version: string, wanted: readonly [number, number, number]): boolean {
  const [, major, minor, patch, suffix = ''] = /^(\d+)\.(\d+)(?:\.(\d+))?(.*)$/.exec(version.trim()) ?? [];
  if (major === undefined || minor === undefined) return false;
  const numbers = [Number(major), Number(minor), Number(patch ?? 0)];
  for (const [index, number] of numbers.entries()) {
    const least = wanted[index] ?? 0;
    if (number !== least) return number > least;
  }
  // A release candidate comes before its release.
  return !/^[-.~]?(?:alpha|beta|rc|milestone)/i.test(suffix);
}
