/** A delivery while its handler runs. */
import type { ConsumeMessage } from 'amqplib';
import type { Delivery } from './message.ts';

export interface HandlerContext {
  /** Aborted when the result no longer matters: time limit, channel lost, or the stop's deadline. */
  readonly signal: AbortSignal;
}

export class Context implements HandlerContext {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  /** Made when it is asked for: most handlers never do, and a controller costs more than the rest of a delivery. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(reason);
  }
}

export interface Job {
  message: ConsumeMessage;
  delivery: Delivery;
  startedAt: number;
  deadline: number;
  context: Context;
  /** Takes up one of the consumer's places: until the handler returns, or its time is over if it never does. */
  occupies: boolean;
  freeing: NodeJS.Timeout | undefined;
}
