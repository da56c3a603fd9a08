/**
 * One delivery, from bytes to effect:
 *
 *   decode (CloudEvents) → find the handler → validate against the catalogue → upcast → handle
 *
 * | what happens | outcome | the broker's message |
 * |---|---|---|
 * | handled | handled | acked |
 * | its effect is there already | duplicate | acked |
 * | nobody here handles this type | ignored | acked; the log says so, once for each type |
 * | not an event, or against its contract, or refused by the domain | rejected | failed_events at once, with the reason |
 * | the database is away | postponed | given back at no attempt; the subscription pauses (subscription.ts) |
 * | anything else | failed | tried again, at last failed_events |
 */
import { decodeEvent, routingKeyOf } from '@warren/contracts';
import type { Catalogue, Event } from '@warren/contracts';
import { isPermanent } from '@warren/rabbitmq';
import type { Delivery } from '@warren/rabbitmq';
import { withContext } from './context.ts';
import type { Handler } from './handlers.ts';
import type { Logger } from './log.ts';
import { withProcessSpan } from './messaging-spans.ts';
import type { ConsumeOutcome, Metrics } from './metrics.ts';
import { isUnavailable } from './unavailable.ts';

/** A context for one delivery; `wasDuplicate` tells after the handler whether all its effects were there before. */
export type DeliveryEffects = (
  event: Event,
  delivery: { readonly attempt: number; readonly signal: AbortSignal },
) => { context: Parameters<Handler['handle']>[1]; wasDuplicate: () => boolean };

/** What the handling of deliveries needs. */
export interface DeliveryOptions {
  readonly subscription: string;
  readonly handlers: readonly Handler[];
  readonly catalogue: Catalogue;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly effects: DeliveryEffects;
}

/** Types that the log names as ignored; what others send must not fill it, nor the memory. */
const namedTypes = 100;

/** The function that a consumer calls for each delivery. */
export function createDeliveryHandler(
  options: DeliveryOptions,
): (delivery: Delivery, consumer: { readonly signal: AbortSignal }) => Promise<void> {
  const handlers = new Map(options.handlers.map((handler) => [handler.type, handler]));
  const { subscription, metrics, log } = options;
  const ignored = new Set<string>();
  /** By a pattern that may be meant; otherwise the subscription was changed before the code, and the event is lost. */
  const warnOnce = (type: string) => {
    if (ignored.has(type) || ignored.size >= namedTypes) return;
    ignored.add(type);
    log.warn(
      { subscription, type },
      'nobody here handles this type: its events are acknowledged and dropped',
    );
  };

  return async (delivery, consumer) => {
    const { queue } = delivery;
    const began = performance.now();
    const report = (type: string, outcome: ConsumeOutcome) => {
      metrics.consumed({ subscription, type, outcome }, (performance.now() - began) / 1000);
    };
    let event: Event;
    try {
      event = decodeEvent(delivery);
    } catch (error) {
      report('malformed', 'rejected');
      log.warn({ err: error, subscription, queue }, 'a message is not an event');
      throw error;
    }
    // A label must not grow with what others send.
    const type = options.catalogue.get(event.type) === undefined ? 'unknown' : event.type;
    const handler = handlers.get(event.type) ?? handlers.get('*');
    if (handler === undefined) {
      report(type, 'ignored');
      warnOnce(event.type);
      return;
    }
    const facts = {
      // A message that was moved or replayed came by the default exchange.
      exchange: delivery.exchange === '' ? 'events' : delivery.exchange,
      routingKey: routingKey(event.type),
      messageId: event.id,
      correlationId: event.correlationId,
      bodySize: delivery.content.length,
      queue,
      subscription,
      attempt: delivery.attempt,
    };
    if (delivery.attempt === 1 && !delivery.redelivered) {
      metrics.consumeDelay(subscription, (Date.now() - Date.parse(event.timestamp)) / 1000);
    }
    await withProcessSpan(facts, event, () =>
      withContext(contextOf(event), async () => {
        const logged = { subscription, eventId: event.id, type: event.type, attempt: delivery.attempt };
        try {
          const { context, wasDuplicate } = options.effects(event, {
            attempt: delivery.attempt,
            // Made when it is asked for: most handlers never do.
            get signal() {
              return consumer.signal;
            },
          });
          await handler.handle(readable(options.catalogue, handler, event), context);
          const outcome = wasDuplicate() ? 'duplicate' : 'handled';
          report(type, outcome);
          log.debug(
            { ...logged, outcome, ms: Math.round((performance.now() - began) * 10) / 10 },
            'event consumed',
          );
        } catch (error) {
          report(type, isPermanent(error) ? 'rejected' : isUnavailable(error) ? 'postponed' : 'failed');
          log.warn({ ...logged, err: error }, 'an event could not be handled');
          throw error;
        }
      }),
    );
  };
}

/** The event as its handler reads it; throws permanent errors when it breaks its contract. */
function readable(catalogue: Catalogue, handler: Handler, event: Event): Event {
  if (handler.type !== '*') return catalogue.upcast(catalogue.validate(event));
  const known = catalogue.get(event.type)?.versions.has(event.schemaVersion) ?? false;
  return known ? catalogue.validate(event) : event;
}

function contextOf(event: Event) {
  return {
    correlationId: event.correlationId,
    causationId: event.id,
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
    ...(event.tracestate === undefined ? {} : { tracestate: event.tracestate }),
  };
}

function routingKey(type: string): string {
  try {
    return routingKeyOf(type);
  } catch {
    return type;
  }
}
