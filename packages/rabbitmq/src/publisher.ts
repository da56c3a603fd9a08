/**
 * Publishing that knows what became of each message: persistent, mandatory, confirmed, in a window.
 *
 * A publish waits (no connection, blocked broker, full window, full socket buffer) at most `waitMs`, then it rejects
 * with BrokerUnavailableError: it was never sent. Once sent, exactly one of these ends it:
 *   ack                      -> resolves: every queue bound for it has it on disk
 *   return, then ack         -> UnroutableError
 *   nack                     -> NackedError
 *   channel closed by the broker because of it -> PublishForbiddenError; its neighbours as with a channel lost. What has the
 *     same exchange and key fails with it at once, unsent, for `forbiddenMs`
 *   channel or connection lost, `confirmTimeoutMs` passed, or close() -> OutcomeUnknownError
 * Messages are sent in the order of the calls. Nothing is published again by itself: after a failure order is the
 * caller's, who alone knows what may be overtaken.
 */
import type { ConfirmChannel, Message, Options } from 'amqplib';
import { KeptChannel, type Lease } from './channel.ts';
import type { BrokerConnection } from './connection.ts';
import {
  BrokerUnavailableError,
  ClosedError,
  MessageRefusedError,
  NackedError,
  OutcomeUnknownError,
  PublishForbiddenError,
  UnroutableError,
} from './errors.ts';
import { Fifo } from './fifo.ts';
import { Forbidden } from './forbidden.ts';
import { refusalIn } from './refusal.ts';
import { headerNames, type MessageProperties, type OutgoingMessage } from './message.ts';
import { deferred, settledWithin, type Deferred } from './timing.ts';

export interface PublisherOptions {
  exchange: string;
  /** Limit from sending to the confirm, in milliseconds; 30,000. */
  confirmTimeoutMs?: number;
  /** Limit of waiting to be sent, in milliseconds; 10,000. */
  waitMs?: number;
  /** Most messages sent and not yet confirmed; 500. */
  window?: number;
  /** How long what the broker refused is not sent again, because that would close the channel once more: milliseconds; 30,000. */
  forbiddenMs?: number;
  /** Larger content is refused here: the broker would close the channel, and fail its neighbours; 16 MiB, the broker's default. */
  maxMessageBytes?: number;
}

export interface Publisher extends AsyncDisposable {
  publish(message: OutgoingMessage): Promise<void>;
  /** Sent and not yet confirmed. */
  readonly outstanding: number;
  /** Not yet sent. */
  readonly waiting: number;
  /** Takes nothing more, waits for outstanding confirms (at most `drainMs`, 5,000), then closes the channel. Idempotent. */
  close(options?: { drainMs?: number }): Promise<void>;
}

interface Entry {
  id: number;
  message: OutgoingMessage;
  exchange: string;
  /** When it is given up: as not sent while waiting, as unknown after sending. */
  deadline: number;
  sentAt: number;
  returned: string | undefined;
  resolve(): void;
  reject(error: Error): void;
}

export function createPublisher(connection: BrokerConnection, options: PublisherOptions): Publisher {
  return new ConfirmingPublisher(connection, options);
}

class ConfirmingPublisher implements Publisher {
  readonly #connection: BrokerConnection;
  readonly #exchange: string;
  readonly #confirmTimeoutMs: number;
  readonly #waitMs: number;
  readonly #window: number;
  readonly #maxMessageBytes: number;
  readonly #forbidden: Forbidden;
  readonly #kept: KeptChannel;
  readonly #unsubscribe: () => void;
  /** In the order of sending, so the first one is always the first to time out. */
  readonly #outstanding = new Map<number, Entry>();
  readonly #waiting = new Fifo<Entry>();
  #lease: Lease<ConfirmChannel> | undefined;
  #bufferFull = false;
  #lastProgress = 0;
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #closing: Promise<void> | undefined;
  #drained: Deferred<void> | undefined;

  constructor(connection: BrokerConnection, options: PublisherOptions) {
    this.#connection = connection;
    this.#exchange = options.exchange;
    this.#confirmTimeoutMs = options.confirmTimeoutMs ?? 30_000;
    this.#waitMs = options.waitMs ?? 10_000;
    this.#window = Math.max(1, options.window ?? 500);
    this.#maxMessageBytes = options.maxMessageBytes ?? 16 * 1024 * 1024;
    this.#forbidden = new Forbidden(options.forbiddenMs ?? 30_000);
    this.#kept = new KeptChannel<ConfirmChannel>(connection, {
      open: (model) => model.createConfirmChannel(),
      ready: (lease) => {
        this.#attach(lease);
      },
      lost: (lease, reason) => {
        this.#detach(lease, reason);
      },
    });
    this.#unsubscribe = connection.subscribe(({ state }) => {
      if (state === 'unblocked') this.#pump();
      if (state === 'closed') this.#dropWaiting('the connection of the publisher');
    });
  }

  get outstanding(): number {
    return this.#outstanding.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  publish(message: OutgoingMessage): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new ClosedError('the publisher'));
    if (this.#connection.isClosed) return Promise.reject(new ClosedError('the connection of the publisher'));
    if (message.content.length > this.#maxMessageBytes) {
      return Promise.reject(
        new MessageRefusedError(
          `${message.content.length} bytes are more than the limit of ${this.#maxMessageBytes}`,
        ),
      );
    }
    const exchange = message.exchange ?? this.#exchange;
    const refused = this.#refusalOf(exchange, message);
    if (refused !== undefined) return Promise.reject(refused);
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#waitMs;
      this.#waiting.push({
        id: this.#nextId++,
        message,
        exchange,
        deadline,
        sentAt: 0,
        returned: undefined,
        resolve,
        reject,
      });
      this.#pump();
      if (this.#waiting.size > 0) this.#wakeAt(deadline);
    });
  }

  close(options: { drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainMs ?? 5_000);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drainMs: number): Promise<void> {
    this.#dropWaiting('the publisher');
    if (this.#outstanding.size > 0) {
      this.#drained = deferred();
      await settledWithin(this.#drained.promise, drainMs);
    }
    this.#failOutstanding('the publisher was closed before its confirm came');
    this.#unsubscribe();
    clearTimeout(this.#timer);
    await this.#kept.close();
  }

  #attach(lease: Lease<ConfirmChannel>): void {
    lease.channel.on('return', (message) => {
      const entry = this.#returned(message);
      const { replyText } = message.fields as unknown as { replyText?: string };
      if (entry !== undefined) entry.returned = replyText ?? 'NO_ROUTE';
    });
    lease.channel.on('drain', () => {
      if (this.#lease !== lease) return;
      this.#bufferFull = false;
      this.#pump();
    });
    this.#lease = lease;
    this.#bufferFull = false;
    this.#pump();
  }

  /**
   * Which message came back. Two outstanding ones of one id to one place are the same message, so either will do; a
   * message without an id has a header instead.
   */
  #returned({ fields, properties }: Message): Entry | undefined {
    const { messageId, headers } = properties as MessageProperties;
    const id = headers?.[headerNames.publishId];
    if (typeof id === 'number') return this.#outstanding.get(id);
    for (const entry of this.#outstanding.values()) {
      const { routingKey, properties: sent } = entry.message;
      const same = entry.exchange === fields.exchange && routingKey === fields.routingKey;
      if (same && sent?.messageId === messageId && entry.returned === undefined) return entry;
    }
    return undefined;
  }

  #detach(lease: Lease<ConfirmChannel>, reason: Error): void {
    if (this.#lease !== lease) return;
    this.#lease = undefined;
    this.#failForbidden(reason);
    this.#failOutstanding('its channel is gone', reason);
  }

  #dropWaiting(closed: string): void {
    for (const entry of this.#waiting.takeAll()) entry.reject(new ClosedError(closed));
  }

  /**
   * What the broker closed the channel for, and what it would close it for next. Which of several with one key was the first to
   * be refused nobody can tell: should the right have been taken away between them, one before it may have been taken.
   */
  #failForbidden(reason: Error): void {
    const refusal = refusalIn(reason);
    if (refusal === undefined) return;
    this.#forbidden.remember(refusal, reason);
    for (const [id, entry] of this.#outstanding) {
      const { exchange, message } = entry;
      const { routingKey } = message;
      if (exchange !== refusal.exchange || (refusal.routingKey ?? routingKey) !== routingKey) continue;
      this.#outstanding.delete(id);
      entry.reject(new PublishForbiddenError(exchange, routingKey, reason));
    }
  }

  #refusalOf(exchange: string, { routingKey }: OutgoingMessage): PublishForbiddenError | undefined {
    const reason = this.#forbidden.why(exchange, routingKey);
    return reason === undefined ? undefined : new PublishForbiddenError(exchange, routingKey, reason);
  }

  #failOutstanding(why: string, cause?: unknown): void {
    const all = [...this.#outstanding.values()];
    this.#outstanding.clear();
    for (const entry of all) entry.reject(new OutcomeUnknownError(why, cause));
    this.#drained?.resolve();
  }

  /** Sends what may be sent now. */
  #pump(): void {
    while (!this.#bufferFull && this.#outstanding.size < this.#window) {
      const lease = this.#lease;
      if (lease?.alive !== true || this.#connection.blocked !== undefined) break;
      const entry = this.#waiting.peek();
      if (entry === undefined) break;
      const refused = this.#refusalOf(entry.exchange, entry.message);
      if (refused !== undefined) entry.reject(refused);
      else if (!this.#send(entry, lease)) break;
      this.#waiting.shift();
    }
  }

  /** False when the channel turned out to be unusable: the entry stays first in line. */
  #send(entry: Entry, lease: Lease<ConfirmChannel>): boolean {
    const { routingKey, content, properties } = entry.message;
    const options = { ...properties, persistent: true, mandatory: true } as Options.Publish;
    if (properties?.messageId === undefined)
      options.headers = { ...properties?.headers, [headerNames.publishId]: entry.id };
    try {
      const flowing = lease.channel.publish(
        entry.exchange,
        routingKey,
        content,
        options,
        (error: unknown) => {
          this.#settle(entry, lease, error !== null);
        },
      );
      if (!flowing) this.#bufferFull = true;
    } catch (error) {
      if (!lease.alive || (error instanceof Error && error.name === 'IllegalOperationError')) return false;
      entry.reject(new MessageRefusedError(error instanceof Error ? error.message : String(error), error));
      return true;
    }
    entry.sentAt = performance.now();
    entry.deadline = entry.sentAt + this.#confirmTimeoutMs;
    this.#outstanding.set(entry.id, entry);
    this.#wakeAt(entry.deadline);
    return true;
  }

  /** The confirm of one message, or the end of its channel (amqplib calls back for both). */
  #settle(entry: Entry, lease: Lease<ConfirmChannel>, failed: boolean): void {
    if (failed && !lease.alive) return; // #detach tells it, with the reason
    this.#lastProgress = performance.now();
    if (!this.#outstanding.delete(entry.id)) return; // given up before
    if (failed) entry.reject(new NackedError(entry.exchange, entry.message.routingKey));
    else if (entry.returned === undefined) entry.resolve();
    else entry.reject(new UnroutableError(entry.exchange, entry.message.routingKey, entry.returned));
    if (this.#outstanding.size === 0) this.#drained?.resolve();
    if (this.#waiting.size > 0) this.#pump();
  }

  /** One timer for all deadlines: both queues are in the order of their deadlines, so it is rarely moved. */
  #wakeAt(deadline: number): void {
    if (deadline >= this.#timerAt) return; // it looks again when it fires
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.#expire(performance.now());
      },
      Math.max(1, deadline - performance.now()),
    );
    this.#timer.unref(); // the socket keeps a process alive, not this
  }

  #expire(now: number): void {
    for (
      let entry = this.#waiting.peek();
      entry !== undefined && entry.deadline <= now;
      entry = this.#waiting.peek()
    ) {
      this.#waiting.shift();
      entry.reject(new BrokerUnavailableError(this.#obstacle(), this.#connection.lastError));
    }
    let silent: Entry | undefined;
    for (let entry = this.#oldest(); entry !== undefined && entry.deadline <= now; entry = this.#oldest()) {
      this.#outstanding.delete(entry.id);
      if (entry.sentAt > this.#lastProgress) silent = entry;
      entry.reject(new OutcomeUnknownError(`none within ${this.#confirmTimeoutMs} ms`));
    }
    // A channel that confirms nothing at all looks open and is not: only a new one helps.
    if (silent !== undefined && this.#connection.blocked === undefined) {
      this.#lease?.abandon(new Error(`no confirm within ${this.#confirmTimeoutMs} ms`));
    }
    if (this.#outstanding.size === 0) this.#drained?.resolve();
    this.#pump();
    const next = Math.min(this.#oldest()?.deadline ?? Infinity, this.#waiting.peek()?.deadline ?? Infinity);
    if (next !== Infinity) this.#wakeAt(next);
  }

  #oldest(): Entry | undefined {
    return this.#outstanding.values().next().value;
  }

  #obstacle(): string {
    const { blocked } = this.#connection;
    if (blocked !== undefined) return `the broker blocks publishing (${blocked})`;
    if (!this.#connection.isOpen) return `no connection within ${this.#waitMs} ms`;
    if (this.#lease === undefined) return `no channel within ${this.#waitMs} ms`;
    return `${this.#outstanding.size} messages are outstanding, and no place came free within ${this.#waitMs} ms`;
  }
}
