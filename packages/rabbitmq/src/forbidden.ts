/**
 * What the broker has just refused, so that it is not asked again at once: each refusal closes the channel, and takes what is on
 * its way there along. When its time is over, the next message shows whether it may be published by now.
 */
import type { Refusal } from './refusal.ts';

interface Remembered {
  until: number;
  reason: Error;
}

/** More keys than a service publishes. */
const MOST = 1_000;

export class Forbidden {
  readonly #forMs: number;
  /** The one that was refused first is the first. */
  readonly #refused = new Map<string, Remembered>();

  constructor(forMs: number) {
    this.#forMs = forMs;
  }

  remember({ exchange, routingKey }: Refusal, reason: Error): void {
    const key = keyOf(exchange, routingKey);
    this.#refused.delete(key);
    this.#refused.set(key, { until: performance.now() + this.#forMs, reason });
    for (const [oldest] of this.#refused) {
      if (this.#refused.size <= MOST) return;
      this.#refused.delete(oldest);
    }
  }

  /** Why this may not be published, as the broker said not long ago. */
  why(exchange: string, routingKey: string): Error | undefined {
    if (this.#refused.size === 0) return undefined;
    return this.#find(keyOf(exchange, routingKey)) ?? this.#find(keyOf(exchange));
  }

  #find(key: string): Error | undefined {
    const found = this.#refused.get(key);
    if (found === undefined || performance.now() < found.until) return found?.reason;
    this.#refused.delete(key);
    return undefined;
  }
}

/** Without a routing key: whatever it is. */
function keyOf(exchange: string, routingKey?: string): string {
  return JSON.stringify([exchange, routingKey]);
}
