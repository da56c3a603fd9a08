/** How long a message waits after a failure: the same on every broker (ADR 0008). */
import { parseDuration } from './duration.ts';
import type { EventSubscriptionSpec } from './spec.ts';

type Retry = EventSubscriptionSpec['delivery']['retry'];

/** Milliseconds after the n-th failure: RabbitMQ's own formula for `delayed-retry-min` and `-max`. */
export function delayAfterFailure(n: number, initialMs: number, maxMs: number): number {
  return Math.min(initialMs * n, maxMs);
}

/**
 * The different delays of a subscription, growing; `delays[n - 1]` follows the n-th failure and the last one all later ones.
 * There is always one, even where a single attempt leaves nothing to retry.
 */
export function retryDelays({ attempts, backoff }: Retry): number[] {
  return [...new Set(delaysAfter(Math.max(1, attempts - 1), backoff))];
}

/** How long a message waits in all before its last attempt. */
export function wholeDelay({ attempts, backoff }: Retry): number {
  return delaysAfter(attempts - 1, backoff).reduce((sum, delay) => sum + delay, 0);
}

function delaysAfter(failures: number, { initial, max }: Retry['backoff']): number[] {
  const [initialMs, maxMs] = [parseDuration(initial), parseDuration(max)];
  return Array.from({ length: failures }, (_, index) => delayAfterFailure(index + 1, initialMs, maxMs));
}
