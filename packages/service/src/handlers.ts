/**
 * What a service does with the events of a subscription.
 *
 * @example
 * consumers: {
 *   loyalty: [on(OrderCompleted, async ({ data }, { execute }) => {
 *     await execute(account, `account-${data.userId}`, { kind: 'earn', orderId: data.orderId, total: data.total });
 *   })],
 * }
 */
import type { Event, EventType } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import type { Logger } from './log.ts';

/** What a handler gets beside the event. Everything it appends carries the event's correlation and names it as cause. */
export interface HandlerContext {
  readonly subscription: string;
  /** From 1; the last one is the subscription's `attempts`. */
  readonly attempt: number;
  /** Aborted when the delivery takes too long or the service stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /**
   * Decides and appends, once for this event: the claim on the event and what is appended are one write.
   * A second delivery changes nothing. A handler that executes more than one command names each `effect`.
   */
  readonly execute: <State, Command, E extends Event>(
    decider: Decider<State, Command, E>,
    aggregateId: string,
    command: Command,
    options?: { readonly effect?: string },
  ) => Promise<void>;
  /**
   * An effect outside of the store, claimed before and marked after: not repeated once it is marked, nor because the
   * database was away in between. When the process dies there, it is tried again with the same key, so the outside has to
   * know the key. The signal is aborted when the delivery takes too long, or when another process may have the claim:
   * what has not begun yet must not begin then; what has begun may be ended as it is.
   * Answers whether the effect was done now or before.
   *
   * While another process holds the claim, this waits: a claim of a dead process costs no attempt, only `leaseMs`
   * (10,000, and half of the handler's time limit at most) from the first wait on. A live one renews its claim, so a slow
   * effect needs no longer lease.
   */
  readonly once: (
    effect: (idempotencyKey: string, signal: AbortSignal) => Promise<void>,
    options?: { readonly effect?: string; readonly leaseMs?: number },
  ) => Promise<'now' | 'before'>;
}

/** A handler for one event type, or for all (`type: '*'`). */
export interface Handler {
  readonly type: string;
  readonly handle: (event: Event, context: HandlerContext) => Promise<void>;
}

/** Handles events of a type, lifted to its newest version. */
export function on<Type extends string, Data>(
  type: EventType<Type, Data>,
  handle: (event: Event<Type, Data>, context: HandlerContext) => Promise<void>,
): Handler {
  return {
    type: type.type,
    handle: async (event, context) => {
      // The delivery was validated and upcast before; this tells the compiler.
      if (!type.is(event)) throw new TypeError(`${event.type} was not upcast to version ${type.newest}`);
      await handle(event, context);
    },
  };
}

/** Handles every event as it was published: not upcast, and of types that this service's catalogue does not know too. */
export function onAny(handle: (event: Event, context: HandlerContext) => Promise<void>): Handler {
  return { type: '*', handle };
}
