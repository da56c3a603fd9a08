/**
 * Wait queues that an earlier spec made. A consumer that has not yet got its new settings may still put a message into one,
 * and the broker's counts are some seconds old: a queue is deleted only when it has not been needed, and was empty, for so long
 * without a break that both are over. What is remembered is only since when; a restart begins anew.
 */
import type { ObjectStep } from '@warren/topology';

export class Tidying {
  readonly #afterMs: number;
  /** By subscription and queue, in milliseconds of `performance.now()`. */
  readonly #unneededSince = new Map<string, ReadonlyMap<string, number>>();

  /** @param afterMs longer than a consumer takes to get its settings and the broker to count */
  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** @param steps all of a subscription: a queue that none of them deletes is in use */
  ripe(subscription: string, steps: readonly ObjectStep[]): ObjectStep[] {
    const now = performance.now();
    const before = this.#unneededSince.get(subscription);
    const waiting = new Map<string, number>();
    const ripe = steps.filter((step) => {
      if (step.step !== 'deleteQueue') return true;
      const since = before?.get(step.queue) ?? now;
      if (now - since >= this.#afterMs) return true;
      waiting.set(step.queue, since);
      return false;
    });
    if (waiting.size > 0) this.#unneededSince.set(subscription, waiting);
    else this.forget(subscription);
    return ripe;
  }

  forget(subscription: string): void {
    this.#unneededSince.delete(subscription);
  }
}
