/** What a consumer tells about itself, for metrics and logs. A throwing observer disturbs nothing. */
import type { Delivery } from './message.ts';

export type Outcome =
  | 'acked' // handled
  | 'retried' // rejected or put into a wait queue; delivered again after the delay
  | 'dead-lettered' // in failed_events, confirmed
  | 'requeued' // could not be put aside, so it stays in its queue
  | 'lost'; // its channel is gone; delivered again

export interface Settled {
  delivery: Delivery;
  outcome: Outcome;
  /** From the start of the handler to the settlement. */
  durationMs: number;
  error?: unknown;
}

export interface ConsumerObserver {
  /** The handler starts. */
  onStart?(delivery: Delivery): void;
  /** The delivery is settled, once for each onStart. */
  onSettled?(settled: Settled): void;
  /** Events of a stream, by their offsets, that its retention took before they were read. */
  onExpired?(expired: { queue: string; from: number; to: number }): void;
  /** Consuming began or ended; `retryInMs` when it is tried again after a failure. */
  onState?(state: { consuming: boolean; error?: Error; retryInMs?: number }): void;
}

export function safely(work: () => void): void {
  try {
    work();
  } catch {
    // an observer's failure is its own
  }
}
