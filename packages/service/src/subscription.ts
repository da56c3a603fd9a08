/**
 * One subscription as a service lives it: waits for its binding, consumes by it, follows its changes.
 *
 *   waiting ── binding ──▶ consuming ── other settings ──▶ new consumer
 *      ▲                      │  └───── other broker ────▶ new connection and consumer
 *      └──── binding gone ────┘
 *
 * While the database is away it pauses: the messages in hand go back at no attempt, and none is taken until the database
 * answers. Otherwise an outage of a minute would turn a whole queue into dead letters.
 *
 * A binding that becomes unusable changes nothing about what runs; the health check says what is wrong with it.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectBroker, createConsumer } from '@warren/rabbitmq';
import type { BrokerConnection, Consumer, Delivery } from '@warren/rabbitmq';
import { watchBinding } from './binding-watch.ts';
import type { BindingState, BindingWatch } from './binding-watch.ts';
import { isSameBroker } from './binding.ts';
import type { Binding, BrokerAccess } from './binding.ts';
import { codeOf } from './errors.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { isUnavailable } from './unavailable.ts';

/** A running subscription. */
export interface Subscription {
  readonly name: string;
  start(): void;
  /** The health check: throws a sentence that says why nothing is consumed. */
  check(): void;
  /** Whether it consumes now, and how many handlers run. */
  status(): { readonly up: boolean; readonly running: number };
  /** Stops taking; what is in flight finishes within `deadlineMs` or goes back. */
  stop(deadlineMs: number): Promise<void>;
}

/** What a subscription needs. */
export interface SubscriptionOptions {
  readonly service: string;
  readonly name: string;
  /** SERVICE_BINDING_ROOT */
  readonly root: string | undefined;
  readonly pollMs: number;
  readonly handlerTimeoutMs: number;
  /** Rejects while the database takes no writes. */
  readonly checkDatabase: () => Promise<void>;
  readonly handle: (delivery: Delivery, consumer: { readonly signal: AbortSignal }) => Promise<void>;
  /** Told where the broker of the subscription is; undefined when its binding is gone. */
  readonly onBroker: (subscription: string, broker: BrokerAccess | undefined) => void;
  readonly metrics: Metrics;
  readonly log: Logger;
}

interface Running {
  readonly binding: Binding;
  readonly connection: BrokerConnection;
  readonly consumer: Consumer;
}

/** A change of settings lets handlers finish this long before their messages go back. */
const changeDeadlineMs = 10_000;
/** How often a subscription that pauses asks whether the database is back. */
const pausePollMs = 500;

/** Makes a subscription; it begins with `start()`. */
export function createSubscription(options: SubscriptionOptions): Subscription {
  const { name, log } = options;
  let watch: BindingWatch | undefined;
  let running: Running | undefined;
  /** What is wrong with the binding. */
  let trouble: string | undefined = `It waits for its binding ${name}.`;
  let pausing = false;
  const stopping = new AbortController();
  // Changes are applied one after the other.
  let work: Promise<void> = Promise.resolve();

  function consume(binding: Binding): Running {
    const { settings, broker } = binding;
    const { uri: url, tls } = broker;
    const connection = connectBroker({
      url,
      name: `${options.service} consumes ${name}`,
      ...(tls === undefined ? {} : { tls }),
    });
    const consumer = createConsumer(connection, {
      settings,
      handle,
      handlerTimeoutMs: options.handlerTimeoutMs,
      observer: {
        onSettled: ({ delivery, outcome, error }) => {
          if (outcome === 'retried') options.metrics.retried(name);
          if (outcome !== 'dead-lettered') return;
          options.metrics.deadLettered(name, codeOf(error));
          const messageId: unknown = delivery.properties.messageId;
          log.error(
            {
              subscription: name,
              messageId,
              deadLetter: settings.deadLetter,
              attempt: delivery.attempt,
              err: error,
            },
            'a message was set aside',
          );
        },
        onExpired: ({ queue, from, to }) => {
          log.error(
            { subscription: name, queue, from, to },
            'events of a stream had expired before they were read',
          );
        },
        onState: ({ consuming, error }) => {
          if (error !== undefined)
            log.warn({ err: error, subscription: name, consuming }, 'the consumer was interrupted');
        },
      },
    });
    consumer.start();
    log.info({ subscription: name, queue: settings.queue, prefetch: settings.prefetch }, 'consuming');
    return { binding, connection, consumer };
  }

  async function handle(delivery: Delivery, consumer: { readonly signal: AbortSignal }): Promise<void> {
    try {
      await options.handle(delivery, consumer);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      pause();
      // A failure would cost the message an attempt; so it waits until the pause, or its time limit, takes it back.
      const { signal } = consumer;
      if (!signal.aborted) await once(signal, 'abort');
      throw error;
    }
  }

  function pause(): void {
    if (pausing) return;
    pausing = true;
    work = work
      .then(async () => {
        log.warn({ subscription: name }, 'pausing while the database is away');
        await running?.consumer.stop({ deadlineMs: 0 });
        while (!(await isBack())) await sleep(pausePollMs, undefined, { signal: stopping.signal });
        running?.consumer.start();
        log.info({ subscription: name }, 'the database is back');
      })
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) log.error({ err: error, subscription: name }, 'the pause failed');
      })
      .finally(() => (pausing = false));
  }

  async function isBack(): Promise<boolean> {
    try {
      await options.checkDatabase();
      return true;
    } catch {
      return false;
    }
  }

  async function end(deadlineMs: number): Promise<void> {
    if (running === undefined) return;
    const { consumer, connection } = running;
    running = undefined;
    await consumer.stop({ deadlineMs });
    await connection.close();
  }

  async function apply(state: BindingState): Promise<void> {
    if (stopping.signal.aborted) return;
    if (state.kind === 'unusable') {
      trouble = state.reason;
      log.error({ subscription: name, reason: state.reason }, 'the binding cannot be used');
      return;
    }
    if (state.kind === 'missing') {
      trouble = `It waits for its binding ${name}.`;
      log.info({ subscription: name }, 'waiting for the binding');
      options.onBroker(name, undefined);
      await end(changeDeadlineMs);
      return;
    }
    const { binding } = state;
    if (running !== undefined && isSameBroker(running.binding.broker, binding.broker)) {
      await running.consumer.update(binding.settings, { deadlineMs: changeDeadlineMs });
      running = { ...running, binding };
      log.info({ subscription: name, prefetch: binding.settings.prefetch }, 'consuming by changed settings');
    } else {
      await end(changeDeadlineMs);
      running = consume(binding);
    }
    trouble = undefined;
    options.onBroker(name, binding.broker);
  }

  return {
    name,
    start: () => {
      if (options.root === undefined) {
        trouble = 'SERVICE_BINDING_ROOT is not set, so there is no binding to consume by.';
        return;
      }
      watch = watchBinding(options.root, name, options.pollMs, (state) => {
        work = work
          .then(() => apply(state))
          .catch((error: unknown) => {
            trouble = 'The binding could not be applied.';
            log.error({ err: error, subscription: name }, 'the binding could not be applied');
          });
      });
    },
    check: () => {
      // First, for it passes; what is wrong with the binding is said again after it.
      if (pausing) throw new Error('It pauses while the database is away.');
      if (trouble !== undefined) throw new Error(trouble);
      if (running === undefined) throw new Error('It is changing to another binding.');
      if (!running.connection.isOpen) {
        throw new Error(running.connection.lastError?.message ?? 'The broker is not connected yet.');
      }
      if (!running.consumer.isConsuming)
        throw new Error(`It does not consume ${running.binding.settings.queue} yet.`);
    },
    status: () => ({
      up: running?.consumer.isConsuming === true,
      running: running?.consumer.running ?? 0,
    }),
    stop: async (deadlineMs) => {
      stopping.abort(new Error('the subscription was stopped'));
      watch?.stop();
      await work;
      await end(deadlineMs);
    },
  };
}
