/**
 * Consuming one subscription's queue: at least once, with retries and dead letters, whatever is killed.
 *
 *   start() ──▶ a channel, prefetch, basic.consume ──▶ consuming ──▶ stop()
 *                   ▲                                      │
 *                   └── growing, jittered wait ◀── channel or connection lost, queue deleted (null message) or missing
 *
 * Each channel has its own Session (session.ts), which settles deliveries only on that channel. Messages are put aside
 * (dead letters; wait queues of the ladder) through a confirm channel on a connection of its own, made when it is first
 * needed: a broker alarm blocks connections that publish, and must not block acknowledgements.
 */
import type { Channel } from 'amqplib';
import { KeptChannel, type Lease } from './channel.ts';
import type { BrokerConnection } from './connection.ts';
import { ClosedError, ConsumerStoppedError, MessageRefusedError, RabbitError } from './errors.ts';
import { deadLetterHeaders, republished, retryHeaders, slimmed, type Fate } from './failure.ts';
import type { Delivery } from './message.ts';
import { safely, type ConsumerObserver } from './observer.ts';
import { createPublisher, type Publisher } from './publisher.ts';
import { Session, type Handler } from './session.ts';
import type { ConsumerSettings } from './settings.ts';
import { deferred, settledWithin, type Deferred } from './timing.ts';

export interface ConsumerOptions {
  settings: ConsumerSettings;
  /** Resolves: acknowledged. Throws PermanentError (or any error with `permanent: true`): dead letter. Throws: retried. */
  handle: Handler;
  /** Handlers at the same time; the prefetch unless given, 1 for a strict subscription. */
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
   * Takes no more, lets running handlers finish (at most `deadlineMs`, 30,000), aborts the signals of the rest, returns
   * every unfinished message to the queue and closes the channel. Idempotent; start() may follow.
   */
  stop(options?: { deadlineMs?: number }): Promise<void>;
  /** Takes over changed settings: stops as above, and starts again if it was started. */
  update(settings: ConsumerSettings, options?: { deadlineMs?: number }): Promise<void>;
  /** The broker has accepted the present consumer. */
  readonly isConsuming: boolean;
  /** Resolves when isConsuming becomes true; rejects with ClosedError when the consumer is stopped first. */
  consuming(): Promise<void>;
  /** Handlers that run now. */
  readonly running: number;
}

export function createConsumer(connection: BrokerConnection, options: ConsumerOptions): Consumer {
  return new QueueConsumer(connection, options);
}

/** The broker closes the channel of a delivery that is not settled for 30 minutes; deliveries must not wait that long here. */
const LONGEST_WAIT_MS = 15 * 60_000;
const CANCEL_LIMIT_MS = 5_000;

class QueueConsumer implements Consumer {
  readonly #connection: BrokerConnection;
  readonly #options: ConsumerOptions;
  readonly #observer: ConsumerObserver;
  readonly #running = { count: 0 };
  #settings: ConsumerSettings;
  #kept: KeptChannel<Channel> | undefined;
  #session: Session | undefined;
  #consumerTag: string | undefined;
  #stopping: Promise<void> | undefined;
  #waiters: Deferred<void> | undefined;
  #aside: { connection: BrokerConnection | undefined; publisher: Publisher } | undefined;

  constructor(connection: BrokerConnection, options: ConsumerOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#settings = options.settings;
    this.#observer = options.observer ?? {};
  }

  get isConsuming(): boolean {
    return this.#consumerTag !== undefined;
  }

  get running(): number {
    return this.#running.count;
  }

  consuming(): Promise<void> {
    if (this.isConsuming) return Promise.resolve();
    this.#waiters ??= deferred();
    return this.#waiters.promise;
  }

  start(): void {
    if (this.#stopping !== undefined) {
      throw new RabbitError('WARREN_CLOSED', 'the consumer is stopping: await stop(), then start it again');
    }
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

  stop(options: { deadlineMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(options.deadlineMs ?? 30_000).finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async update(settings: ConsumerSettings, options: { deadlineMs?: number } = {}): Promise<void> {
    const started = this.#kept !== undefined;
    await this.stop(options);
    this.#settings = settings;
    if (started) this.start();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    const left = (): number => Math.max(0, deadline - Date.now());
    const kept = this.#kept;
    if (kept === undefined) return;
    kept.retire();
    const session = this.#session;
    if (session?.lease.alive === true) {
      const tag = this.#consumerTag;
      const cancelled = tag === undefined ? Promise.resolve() : session.lease.channel.cancel(tag);
      session.release(); // reaches the broker after the cancel, so nothing comes back to this consumer
      await settledWithin(cancelled, Math.min(CANCEL_LIMIT_MS, left()));
      await settledWithin(session.idle(), left());
      session.interrupt(new ConsumerStoppedError());
      session.flush();
    }
    await kept.close();
    await this.#aside?.publisher.close({ drainMs: left() });
    await this.#aside?.connection?.close();
    this.#aside = undefined;
    this.#kept = undefined;
    this.#waiters?.promise.catch(() => undefined);
    this.#waiters?.reject(new ClosedError('the consumer'));
    this.#waiters = undefined;
  }

  async #consume(lease: Lease<Channel>): Promise<void> {
    const settings = this.#settings;
    const { handlerTimeoutMs = 30_000 } = this.#options;
    const concurrency = this.#options.concurrency ?? (settings.strict ? 1 : settings.prefetch);
    const prefetch = Math.min(
      settings.prefetch,
      Math.max(concurrency, Math.floor((concurrency * LONGEST_WAIT_MS) / handlerTimeoutMs)),
    );
    const session = new Session(lease, {
      settings: { ...settings, prefetch },
      handle: this.#options.handle,
      concurrency,
      handlerTimeoutMs,
      observer: this.#observer,
      putAside: (fate, delivery, error) => this.#putAside(settings, fate, delivery, error),
      running: this.#running,
      onFree: () => this.#session?.fill(),
    });
    this.#session = session;
    await lease.channel.prefetch(prefetch);
    const { consumerTag } = await lease.channel.consume(settings.queue, (message) => {
      if (message === null)
        lease.abandon(new Error(`the broker cancelled the consumer of ${settings.queue}`));
      else session.deliver(message);
    });
    if (!lease.alive) return;
    this.#consumerTag = consumerTag;
    this.#waiters?.resolve();
    this.#waiters = undefined;
    safely(() => this.#observer.onState?.({ consuming: true }));
  }

  #lost(lease: Lease<Channel>, reason: Error): void {
    if (this.#session?.lease !== lease) return;
    const session = this.#session;
    this.#session = undefined;
    const told = this.#consumerTag !== undefined;
    this.#consumerTag = undefined;
    session.end(reason);
    if (told) safely(() => this.#observer.onState?.({ consuming: false, error: reason }));
  }

  async #putAside(
    settings: ConsumerSettings,
    fate: Exclude<Fate, { kind: 'reject' }>,
    delivery: Delivery,
    error: unknown,
  ): Promise<void> {
    const publisher = this.#asidePublisher();
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

  #asidePublisher(): Publisher {
    if (this.#aside === undefined) {
      const { republishOn } = this.#options;
      const connection =
        republishOn === undefined
          ? this.#connection.sibling(`${this.#connection.name} (put aside)`)
          : undefined;
      const publisher = createPublisher(republishOn ?? (connection as BrokerConnection), {
        exchange: this.#settings.deadLetter.exchange,
        maxMessageBytes: Infinity, // it came from the broker, so the broker takes it
      });
      this.#aside = { connection, publisher };
    }
    return this.#aside.publisher;
  }
}
