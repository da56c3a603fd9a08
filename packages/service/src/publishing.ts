/**
 * The way of events to the broker: one connection and one publisher, replaced when the broker's address or its
 * credentials change. What cannot be published is rejected and stays with the relay.
 */
import { encodeEvent, routingKeyOf } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { connectBroker, createPublisher } from '@warren/rabbitmq';
import type { BrokerConnection, Publisher } from '@warren/rabbitmq';
import { isSameBroker } from './binding.ts';
import type { BrokerAccess } from './binding.ts';
import { NoBrokerError } from './errors.ts';
import type { Logger } from './log.ts';
import { withSendSpan } from './messaging-spans.ts';
import type { Metrics } from './metrics.ts';

/** Publishes events. */
export interface Publishing {
  /** Where to publish from now on; the same again changes nothing. */
  use(broker: BrokerAccess): void;
  publish(event: Event): Promise<void>;
  /** The health check: throws a sentence when nothing can be published now. */
  check(): void;
  close(deadlineMs: number): Promise<void>;
}

interface Way {
  readonly broker: BrokerAccess;
  readonly connection: BrokerConnection;
  readonly publisher: Publisher;
}

/** Publishes to the exchange of a broker; waits to be told of one first. */
export function createPublishing(options: {
  readonly service: string;
  readonly metrics: Metrics;
  readonly log: Logger;
}): Publishing {
  const { service, metrics, log } = options;
  const leaving = new Set<Promise<void>>();
  let way: Way | undefined;

  const leave = (old: Way, drainMs: number): Promise<void> => {
    const gone = (async () => {
      await old.publisher.close({ drainMs });
      await old.connection.close();
    })()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'a connection for publishing did not close');
      })
      .finally(() => leaving.delete(gone));
    leaving.add(gone);
    return gone;
  };

  return {
    use: (broker) => {
      if (way !== undefined && isSameBroker(way.broker, broker) && way.broker.exchange === broker.exchange)
        return;
      if (way !== undefined) void leave(way, 5000);
      const { uri: url, tls, exchange } = broker;
      const connection = connectBroker({
        url,
        ...(tls === undefined ? {} : { tls }),
        name: `${service} publishes`,
        onState: (state) => {
          if (state.state === 'disconnected')
            log.warn({ err: state.error, retryInMs: state.retryInMs }, 'no broker');
          else log.debug({ state: state.state }, 'broker connection for publishing');
        },
      });
      way = { broker, connection, publisher: createPublisher(connection, { exchange }) };
    },
    publish: async (event) => {
      const { publisher, broker } = way ?? noBroker();
      const { exchange } = broker;
      const routingKey = routingKeyOf(event.type);
      const facts = { exchange, routingKey, messageId: event.id, correlationId: event.correlationId };
      const began = performance.now();
      try {
        await withSendSpan(facts, event, async (headers) => {
          const { content, properties } = encodeEvent({ ...event, ...headers });
          await publisher.publish({ routingKey, content, properties });
        });
        metrics.published(event.type, 'published');
        metrics.publishDelay((Date.now() - Date.parse(event.timestamp)) / 1000);
        // `npm start` tells the story of an order from this line and `event consumed`.
        log.debug(
          {
            eventId: event.id,
            type: event.type,
            aggregateId: event.aggregateId,
            correlationId: event.correlationId,
            causationId: event.causationId,
            at: event.timestamp,
            ms: Math.round((performance.now() - began) * 10) / 10,
          },
          'event published',
        );
      } catch (error) {
        metrics.published(event.type, 'failed');
        throw error;
      }
    },
    check: () => {
      const { connection } = way ?? noBroker();
      if (connection.blocked !== undefined)
        throw new Error(`The broker takes no events now: ${connection.blocked}`);
      if (!connection.isOpen)
        throw new Error(connection.lastError?.message ?? 'The broker is not connected yet.');
    },
    close: async (deadlineMs) => {
      if (way !== undefined) void leave(way, deadlineMs);
      way = undefined;
      await Promise.all(leaving);
    },
  };
}

function noBroker(): never {
  throw new NoBrokerError('There is no broker to publish to: set RABBITMQ_URL, or wait for a binding.');
}
