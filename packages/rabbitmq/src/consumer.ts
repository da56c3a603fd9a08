/**
 * Consuming one subscription: at least once, with retries and dead letters, whatever is killed. Each of its queues by itself:
 * one, or its partitions (lanes.ts).
 *
 *   start() ──▶ a channel, prefetch, basic.consume ──▶ consuming ──▶ stop()
 *                   ▲                                      │
 *                   └── growing, jittered wait ◀── channel or connection lost, queue deleted (null message) or missing
 *
 * Each channel has its own Session (session.ts), which settles deliveries only on that channel. Messages are put aside
 * (dead letters; wait queues of the ladder) on another connection (aside.ts).
 *
 * Who keeps an order (strict) does not cancel when it stops: the broker would let the next consumer begin while this one still
 * has messages in hand, and those it then gave back would come after newer ones. It closes its channel when the handler is
 * done: then the broker puts everything back in its place before anybody else gets a message.
 *
 * A stream is read by one consumer at a time (stream-reading.ts); the others are accepted, and stand by.
 */
import type { Channel } from 'amqplib';
import { Aside } from './aside.ts';
import { KeptChannel, type Lease } from './channel.ts';
import type { BrokerConnection } from './connection.ts';
import { ConsumerStoppedError, MessageRefusedError } from './errors.ts';
import { deadLetterHeaders, republished, retryHeaders, slimmed, type AsideFate } from './failure.ts';
import { HeldBack } from './held-back.ts';
import { Lanes, type Lane, type LaneConsumer, type LaneListener } from './lanes.ts';
import type { Delivery } from './message.ts';
import { safely, type ConsumerObserver } from './observer.ts';
import { Session, type Handler } from './session.ts';
import { StreamReading } from './stream-reading.ts';
import type { ConsumerSettings } from '@warren/topology';
import { deferred, settledWithin, type Deferred } from './timing.ts';

export interface ConsumerOptions {
  settings: ConsumerSettings;
  /** Resolves: acknowledged. Throws PermanentError (or any error with `permanent: true`): dead letter. Throws: retried. */
  handle: Handler;
  /** Handlers at the same time; the prefetch unless given. Where the order is kept always 1 for each queue. */
  concurrency?: number;
  /** Limit for one handler, 30,000 ms: then its signal is aborted and the delivery counts as failed. */
  handlerTimeoutMs?: number;
  observer?: ConsumerObserver;
  /** Publishes what is put aside, instead of a connection of the consumer's own. */
  republishOn?: BrokerConnection;
}

export interface Consumer extends AsyncDisposable {
  /** Begins, and keeps trying for as long as it takes; never throws for a broker that is away. */
  start(): void;
  /**
   * Takes no more, lets running handlers finish (at most `deadlineMs`, 30,000), those whose channel was lost too, aborts the
   * signals of the rest, returns every unfinished message to the queue and closes the channel. Idempotent; start() may follow.
   */
  stop(options?: { deadlineMs?: number }): Promise<void>;
  /** Takes over changed settings: stops as above, and starts again if it was started. */
  update(settings: ConsumerSettings, options?: { deadlineMs?: number }): Promise<void>;
  /** The broker has accepted the present consumer. */
  readonly isConsuming: boolean;
  /** Resolves when isConsuming becomes true; rejects with ClosedError when the consumer is stopped first. */
  consuming(): Promise<void>;
  /** Handlers that run now, or wait in their place for their next attempt. */
  readonly running: number;
}

export function createConsumer(connection: BrokerConnection, options: ConsumerOptions): Consumer {
  const aside = new Aside(connection, options.republishOn);
  return new Lanes(
    options.settings,
    (lane, listener) => new QueueConsumer(connection, options, lane, aside, listener),
    (consuming) => {
      if (consuming) safely(() => options.observer?.onState?.({ consuming }));
    },
    (left) => aside.close(left),
  );
}

/** The broker closes the channel of a delivery that is not settled for 30 minutes; deliveries must not wait that long here. */
const LONGEST_WAIT_MS = 15 * 60_000;
const CANCEL_LIMIT_MS = 5_000;
/** For the last word on the place in a stream, also where a handler has used up the time. */
const FINISH_MS = 1_000;

type Accepted = Pick<StreamReading, 'cancel' | 'finish'>;

class QueueConsumer implements LaneConsumer {
  readonly #connection: BrokerConnection;
  readonly #options: ConsumerOptions;
  readonly #observer: ConsumerObserver;
  readonly #lane: Lane;
  readonly #aside: Aside;
  readonly #changed: LaneListener;
  readonly #running = { count: 0 };
  #quiet: Deferred<void> | undefined;
  readonly #held = new HeldBack();
  readonly #silences = { count: 0 };
  #kept: KeptChannel<Channel> | undefined;
  #session: Session | undefined;
  /** How the present session's deliveries are ended; undefined until the broker has accepted the consumer. */
  #accepted: Accepted | undefined;

  constructor(
    connection: BrokerConnection,
    options: ConsumerOptions,
    lane: Lane,
    aside: Aside,
    changed: LaneListener,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#lane = lane;
    this.#aside = aside;
    this.#changed = changed;
    this.#observer = options.observer ?? {};
  }

  get isConsuming(): boolean {
    return this.#accepted !== undefined;
  }

  get running(): number {
    return this.#running.count;
  }

  start(): void {
    this.#kept ??= new KeptChannel<Channel>(this.#connection, {
      open: (model) => model.createChannel(),
      ready: (lease) => this.#consume(lease),
      lost: (lease, reason) => {
        this.#lost(lease, reason);
      },
      failing: (error, retryInMs) => {
        safely(() => this.#observer.onState?.({ consuming: false, error, retryInMs }));
      },
    });
  }

  async stop(deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    const left = (): number => Math.max(0, deadline - performance.now());
    const kept = this.#kept;
    if (kept === undefined) return;
    kept.retire();
    const session = this.#session;
    const accepted = this.#accepted;
    // What is not accepted cannot be cancelled: all that it then got and gave back would come to it again and again.
    if (accepted === undefined) session?.lease.abandon(new ConsumerStoppedError());
    if (accepted !== undefined && session?.lease.alive === true) {
      const cancelled = accepted.cancel();
      session.release(); // reaches the broker after the cancel, so nothing comes back to this consumer
      await settledWithin(cancelled, Math.min(CANCEL_LIMIT_MS, left()));
      await settledWithin(Promise.all([session.idle(), this.#noneRunning()]), left());
      session.interrupt(new ConsumerStoppedError());
      session.flush();
      await settledWithin(accepted.finish(), Math.max(left(), FINISH_MS));
    } else await settledWithin(this.#noneRunning(), left());
    await kept.close();
    this.#kept = undefined;
  }

  async #consume(lease: Lease<Channel>): Promise<void> {
    const { settings, priority } = this.#lane;
    const { handlerTimeoutMs = 30_000 } = this.#options;
    const concurrency = settings.strict ? 1 : (this.#options.concurrency ?? settings.prefetch);
    const prefetch = Math.min(
      settings.prefetch,
      Math.max(concurrency, Math.floor((concurrency * LONGEST_WAIT_MS) / handlerTimeoutMs)),
    );
    const { stream } = settings;
    const reading =
      stream === undefined
        ? undefined
        : new StreamReading(lease, {
            settings: { ...settings, stream },
            observer: this.#observer,
            silences: this.#silences,
            publish: (message) => this.#aside.publisher(settings.deadLetter.exchange).publish(message),
          });
    const session = new Session(lease, {
      settings: { ...settings, prefetch },
      handle: this.#options.handle,
      concurrency,
      handlerTimeoutMs,
      observer: this.#observer,
      putAside: (fate, delivery, error) => this.#putAside(settings, fate, delivery, error),
      running: this.#running,
      held: this.#held,
      onFree: () => this.#freed(),
      ...(reading === undefined ? {} : { isKept: reading.isOfStream, onDone: reading.done }),
    });
    this.#session = session;
    await lease.channel.prefetch(prefetch);
    if (reading !== undefined) {
      await reading.stand(await this.#connection.opened());
      this.#accept(lease, reading);
      await reading.read(session);
      return;
    }
    const { consumerTag } = await lease.channel.consume(
      settings.queue,
      (message) => {
        if (message === null)
          lease.abandon(new Error(`the broker cancelled the consumer of ${settings.queue}`));
        else session.deliver(message);
      },
      priority === undefined ? {} : { priority },
    );
    const cancel = async () => {
      if (!settings.strict) await lease.channel.cancel(consumerTag);
    };
    this.#accept(lease, { cancel, finish: () => Promise.resolve() });
  }

  /** Resolves when no handler runs, of any channel that there was. */
  #noneRunning(): Promise<void> {
    if (this.#running.count === 0) return Promise.resolve();
    this.#quiet ??= deferred();
    return this.#quiet.promise;
  }

  #freed(): void {
    this.#session?.fill();
    if (this.#running.count > 0) return;
    this.#quiet?.resolve();
    this.#quiet = undefined;
  }

  #accept(lease: Lease<Channel>, accepted: Accepted): void {
    if (!lease.alive) return;
    this.#accepted = accepted;
    this.#changed();
  }

  #lost(lease: Lease<Channel>, reason: Error): void {
    if (this.#session?.lease !== lease) return;
    const session = this.#session;
    this.#session = undefined;
    const told = this.#accepted !== undefined;
    this.#accepted = undefined;
    session.end(reason);
    this.#changed();
    if (told) safely(() => this.#observer.onState?.({ consuming: false, error: reason }));
  }

  async #putAside(
    settings: ConsumerSettings,
    fate: AsideFate,
    delivery: Delivery,
    error: unknown,
  ): Promise<void> {
    const publisher = this.#aside.publisher(settings.deadLetter.exchange);
    const failure = { settings, delivery, error, at: new Date() };
    const toWait = fate.kind === 'wait';
    const message = {
      ...(toWait
        ? { exchange: '', routingKey: fate.queue }
        : { exchange: settings.deadLetter.exchange, routingKey: settings.deadLetter.routingKey }),
      content: delivery.content,
      properties: republished(
        delivery.properties,
        toWait ? retryHeaders(failure) : deadLetterHeaders(failure),
      ),
    };
    try {
      await publisher.publish(message);
    } catch (refused) {
      if (!(refused instanceof MessageRefusedError)) throw refused;
      await publisher.publish({ ...message, properties: slimmed(message.properties) });
    }
  }
}
