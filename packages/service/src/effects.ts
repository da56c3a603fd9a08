/**
 * How handlers and requests change something: through the store, with the causes of the work at hand.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventKeyOf } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { InboxBusyError } from '@warren/event-store';
import type { Decider, EventStore, Inbox, Once, Outcome } from '@warren/event-store';
import { currentCauses } from './context.ts';
import type { DeliveryEffects } from './delivery.ts';
import type { Logger } from './log.ts';

/** Decides and appends on behalf of the running work. */
export async function executeCommand<State, Command, E extends Event>(
  store: EventStore,
  decider: Decider<State, Command, E>,
  aggregateId: string,
  command: Command,
  once?: Once,
): Promise<Outcome<State>> {
  return store.execute(decider, aggregateId, command, {
    ...currentCauses(),
    ...(once === undefined ? {} : { once }),
  });
}

/** Short, because a live process renews it: after this time the claim of a dead one is free. */
const defaultLeaseMs = 10_000;
/** A claim that is held is asked for again after this long. */
const busyPauseMs = 500;

/** The effects of the deliveries of one subscription. */
export function createEffects(options: {
  readonly subscription: string;
  /** The name of the consumer's inbox: claims are made under it. */
  readonly claimant: string;
  readonly store: EventStore;
  readonly inbox: Inbox;
  readonly handlerTimeoutMs: number;
  readonly log: Logger;
}): DeliveryEffects {
  const { subscription, claimant, store, inbox, handlerTimeoutMs, log } = options;
  // A claim is watched during a delivery only: one that is held for longer than that would never be taken over.
  const longestLeaseMs = handlerTimeoutMs / 2;
  return (event, delivery) => {
    let effects = 0;
    let before = 0;
    const messageId = eventKeyOf(event);
    const handlerName = (effect: string | undefined) =>
      effect === undefined ? claimant : `${claimant}/${effect}`;
    const count = (how: 'now' | 'before') => {
      if (how === 'now') effects += 1;
      else before += 1;
      return how;
    };
    return {
      wasDuplicate: () => before > 0 && effects === 0,
      context: {
        subscription,
        attempt: delivery.attempt,
        get signal() {
          return delivery.signal;
        },
        log,
        execute: async (decider, aggregateId, command, { effect } = {}) => {
          const once = { handler: handlerName(effect), messageId };
          const { alreadyHandled } = await executeCommand(store, decider, aggregateId, command, once);
          count(alreadyHandled ? 'before' : 'now');
        },
        once: async (effect, { effect: name, leaseMs = defaultLeaseMs } = {}) => {
          const lease = { leaseMs: Math.min(leaseMs, longestLeaseMs) };
          const run = (key: string, claim: AbortSignal) =>
            effect(key, AbortSignal.any([claim, delivery.signal]));
          for (;;) {
            try {
              const { done } = await inbox.once(handlerName(name), messageId, run, lease);
              return count(done);
            } catch (error) {
              if (!(error instanceof InboxBusyError) || delivery.signal.aborted) throw error;
              await sleep(Math.min(error.retryAfterMs, busyPauseMs), undefined, { signal: delivery.signal });
            }
          }
        },
      },
    };
  };
}
