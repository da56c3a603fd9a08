/**
 * Wait queues that an earlier spec made. A consumer that has not yet got its new settings may still put a message into one,
 * and the broker's counts are some seconds old: a queue is deleted only when it has not been needed for so long that both
 * are over. What is remembered is only since when; a restart begins anew.
 */
import type { ObjectStep } from '@warren/topology';

export class Tidying {
  readonly #afterMs: number;
  /** By queue, in milliseconds of `performance.now()`. */
  readonly #unneededSince = new Map<string, number>();

  /** @param afterMs longer than a consumer takes to get its settings and the broker to count */
  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** The steps without those whose time has not come. */
  ripe(steps: readonly ObjectStep[]): ObjectStep[] {
    return steps.filter((step) => {
      if (step.step !== 'deleteQueue') {
        if (step.step === 'declareQueue') this.#unneededSince.delete(step.queue.name);
        return true;
      }
      const since = this.#unneededSince.get(step.queue) ?? performance.now();
      this.#unneededSince.set(step.queue, since);
      if (performance.now() - since < this.#afterMs) return false;
      this.#unneededSince.delete(step.queue);
      return true;
    });
  }
}
