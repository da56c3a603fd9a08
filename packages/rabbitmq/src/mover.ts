/**
 * Moving messages from one queue to another, oldest first, at least once.
 *
 *   delivery ──▶ publish to the target, persistent and mandatory ──▶ confirm ──▶ acknowledge
 *
 * A message leaves its queue only after the target has it on disk; who dies in between leaves a second copy under the same
 * messageId. In hand is at most a window of messages. One channel does both, so the order stays. When something goes wrong
 * (a full or missing target, a lost connection, a deleted queue, a broker that does not answer) the run ends with the reason:
 * what was not acknowledged goes back to its place, and the next run goes on from there.
 */
import type { ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import type { Binding } from '@warren/topology';
import { AckWindow } from './ack-window.ts';
import type { BrokerConnection } from './connection.ts';
import { MoveFailedError } from './errors.ts';
import { slimmed } from './failure.ts';
import { headerNames, type MessageProperties } from './message.ts';
import { deferred, settledWithin, sleep } from './timing.ts';

export interface MoveOptions {
  from: string;
  to: string;
  /** What `to` names; a queue. Through an exchange a message goes with the routing key it was first published with. */
  toKind?: 'queue' | 'exchange';
  /** Moves nothing while somebody else consumes the queue. */
  unattended?: boolean;
  /** The most that one run takes, in milliseconds; 3,000. What is in hand then is still moved. */
  forMs?: number;
  /** So long nothing must come for the queue to count as empty, in milliseconds; 100. */
  quietMs?: number;
  /** Most messages in hand; 500. */
  window?: number;
  /** Before others: the single active consumer of a queue hands over to this one (RabbitMQ 4.0). */
  ahead?: boolean;
  /** Called once when the queue is empty, while what comes still is moved; the run ends after it. Not when it ends before. */
  whenEmpty?: (bind: BindAtOnce) => Promise<void>;
  /** Ends the run early, as `forMs` does. */
  signal?: AbortSignal;
}

/**
 * On the mover's own channel, right behind its look at the empty queue: the shorter the time in between, the less can come into
 * the queue that what is bound then overtakes.
 */
export type BindAtOnce = (binding: Binding) => Promise<void>;

export interface Moved {
  moved: number;
  /** Nothing is ready in the queue, and nothing is on its way from here. Others may hold unacknowledged messages. */
  empty: boolean;
  /** Ready messages in the queue at the end; undefined where it could not be asked. */
  left: number | undefined;
  /** Nothing was moved, since somebody else consumes the queue. */
  attended?: boolean;
  /** Why it ended early, if it did. */
  failure?: MoveFailedError;
}

/** How long the broker may be in answering a question, and in confirming what is in hand at the end. */
const ANSWER_LIMIT_MS = 10_000;
const AHEAD_PRIORITY = 1_000;

/** Never rejects for what happens on the broker; rejects with ClosedError or the signal's reason where there is no connection. */
export async function moveMessages(connection: BrokerConnection, options: MoveOptions): Promise<Moved> {
  const model = await connection.opened(options.signal);
  const opening = model.createConfirmChannel();
  let channel: ConfirmChannel;
  try {
    const isAnswered = connection.blocked === undefined && (await settledWithin(opening, ANSWER_LIMIT_MS));
    if (!isAnswered) throw silenceOf(connection);
    channel = await opening;
  } catch (error) {
    void opening.then((late) => late.close()).catch(() => undefined);
    return { moved: 0, empty: false, left: undefined, failure: failed(options, error) };
  }
  return await new Run(connection, channel, options).run();
}

class Run {
  readonly #connection: BrokerConnection;
  readonly #channel: ConfirmChannel;
  readonly #options: MoveOptions;
  readonly #acks = new AckWindow();
  /** Aborted when no more is to be taken. */
  readonly #ending = new AbortController();
  readonly #over = deferred<undefined>();
  #failure: unknown;
  #isAttended = false;
  #isOver = false;
  #inHand = 0;
  #moved = 0;
  #lastMoved = performance.now();
  #flush: NodeJS.Immediate | undefined;
  #idle: (() => void) | undefined;

  constructor(connection: BrokerConnection, channel: ConfirmChannel, options: MoveOptions) {
    this.#connection = connection;
    this.#channel = channel;
    this.#options = options;
    channel.on('error', (error) => this.#fail(error));
    // Before amqplib's own listener, which calls back every outstanding confirm.
    channel.prependListener('close', () => this.#end());
    // It comes before the confirm of the message it speaks of: from here on nothing is acknowledged.
    channel.on('return', () => this.#fail(new Error(`there is no queue behind ${options.to}`)));
  }

  async run(): Promise<Moved> {
    const { from, forMs = 3_000, signal } = this.#options;
    const stop = () => this.#ending.abort();
    const timer = setTimeout(stop, forMs);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    let left: number | undefined;
    try {
      await this.#take();
      left = await this.#ask(() => this.#channel.checkQueue(from)).then((queue) => queue?.messageCount);
    } catch (error) {
      this.#fail(error);
    } finally {
      clearTimeout(timer);
      clearImmediate(this.#flush);
      signal?.removeEventListener('abort', stop);
      await this.#close();
    }
    const failure = this.#failure === undefined ? undefined : failed(this.#options, this.#failure);
    // What was never confirmed goes back when the channel closes.
    const empty = failure === undefined && left === 0 && this.#inHand === 0;
    return {
      ...{ moved: this.#moved, empty, left },
      ...(this.#isAttended ? { attended: true } : {}),
      ...(failure === undefined ? {} : { failure }),
    };
  }

  /** Until the time is over or nothing comes any more; then lets go of the queue with empty hands. */
  async #take(): Promise<void> {
    const { from, window = 500, quietMs = 100, ahead = false, unattended = false } = this.#options;
    if (unattended && ((await this.#ask(() => this.#channel.checkQueue(from)))?.consumerCount ?? 0) > 0) {
      this.#isAttended = true;
      return;
    }
    await this.#ask(() => this.#channel.prefetch(window));
    const consumer = await this.#ask(() =>
      this.#channel.consume(from, (message) => this.#deliver(message), {
        ...(ahead ? { priority: AHEAD_PRIORITY } : {}),
      }),
    );
    this.#lastMoved = performance.now();
    while (!this.#ending.signal.aborted) {
      if (this.#isQuiet(quietMs)) {
        const quietFor = performance.now() - this.#lastMoved;
        const queue = await this.#ask(() => this.#channel.checkQueue(from));
        // Some are there and none comes: a consumer of somebody else is the active one.
        const isEmpty = queue?.messageCount === 0;
        if (this.#isQuiet(quietMs) && (isEmpty || quietFor > quietMs + 1_000)) {
          if (isEmpty) await this.#options.whenEmpty?.((binding) => this.#bind(binding));
          break;
        }
      }
      await sleep(Math.max(1, Math.min(quietMs, 20)), this.#ending.signal);
    }
    if (consumer === undefined || this.#isOver) return;
    await this.#ask(() => this.#channel.cancel(consumer.consumerTag));
    await settledWithin(Promise.race([this.#emptyHanded(), this.#over.promise]), ANSWER_LIMIT_MS);
    this.#acknowledge();
  }

  #isQuiet(forMs: number): boolean {
    return this.#inHand === 0 && performance.now() - this.#lastMoved >= forMs;
  }

  #deliver(message: ConsumeMessage | null): void {
    if (message === null) {
      this.#fail(new Error(`${this.#options.from} was deleted`));
      return;
    }
    if (this.#failure !== undefined) return; // it goes back with the channel
    const tag = message.fields.deliveryTag;
    this.#acks.arrived(tag);
    this.#inHand += 1;
    this.#lastMoved = performance.now();
    try {
      this.#publish(message, tag);
    } catch (error) {
      this.#fail(error);
    }
  }

  #publish(message: ConsumeMessage, tag: number): void {
    const { to, toKind = 'queue' } = this.#options;
    const settle = (error: unknown) => this.#settle(tag, error);
    const properties = carried(message);
    const { [headerNames.originalRoutingKey]: first } = properties.headers;
    const key = typeof first === 'string' ? first : message.fields.routingKey;
    const [exchange, routingKey] = toKind === 'queue' ? ['', to] : [to, key];
    const send = (what: MessageProperties) =>
      this.#channel.publish(
        exchange,
        routingKey,
        message.content,
        { ...what, persistent: true, mandatory: true } as Options.Publish,
        settle,
      );
    try {
      send(properties);
    } catch (error) {
      if (this.#isOver) throw error;
      send(slimmed(properties)); // its headers filled the frame already
    }
  }

  /** A confirm. */
  #settle(tag: number, error: unknown): void {
    this.#inHand -= 1;
    this.#lastMoved = performance.now();
    if (error !== null && error !== undefined)
      this.#fail(new Error(`${this.#options.to} takes no message: is it full?`, { cause: error }));
    if (this.#failure === undefined) {
      this.#moved += 1;
      this.#acks.finish(tag);
      this.#flush ??= setImmediate(() => this.#acknowledge());
    }
    if (this.#inHand === 0) this.#idle?.();
  }

  #acknowledge(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#isOver) return;
    const prefix = this.#acks.takePrefix();
    const acks = [...(prefix === undefined ? [] : [prefix]), ...this.#acks.takeStragglers().map(alone)];
    for (const { tag, multiple } of acks)
      this.#channel.ack({ fields: { deliveryTag: tag } } as unknown as ConsumeMessage, multiple);
  }

  #emptyHanded(): Promise<void> {
    if (this.#inHand === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#idle = resolve));
  }

  /** The first reason is the one that is told. */
  #fail(error: unknown): void {
    this.#failure ??= error ?? new Error('unknown');
    this.#ending.abort();
  }

  #end(): void {
    this.#isOver = true;
    this.#over.resolve(undefined);
    this.#ending.abort();
    if (this.#inHand > 0) this.#fail(new Error('the channel was lost'));
  }

  async #bind({ source, destination, destinationType, routingKey, arguments: args }: Binding): Promise<void> {
    await this.#ask(() =>
      destinationType === 'queue'
        ? this.#channel.bindQueue(destination, source, routingKey, args)
        : this.#channel.bindExchange(destination, source, routingKey, args),
    );
  }

  /** Undefined where no answer comes: the channel is lost then, or given up. */
  async #ask<T>(question: () => PromiseLike<T>): Promise<T | undefined> {
    const answer = this.#isOver ? undefined : await this.#answerTo(question);
    if (this.#isOver) this.#fail(new Error('the channel was lost'));
    return answer;
  }

  async #answerTo<T>(question: () => PromiseLike<T>): Promise<T | undefined> {
    if (this.#connection.blocked === undefined) {
      const answer = Promise.race([question(), this.#over.promise]);
      if (await settledWithin(answer, ANSWER_LIMIT_MS)) return await answer;
    }
    this.#fail(silenceOf(this.#connection));
    this.#end();
    // The broker does it when it reads again; nobody waits for that.
    void this.#channel.close().catch(() => undefined);
    return undefined;
  }

  async #close(): Promise<void> {
    if (this.#isOver) return;
    const closing = this.#channel.close().catch(() => undefined);
    await settledWithin(Promise.race([closing, this.#over.promise]), ANSWER_LIMIT_MS);
  }
}

function alone({ tag }: { tag: number }): { tag: number; multiple: boolean } {
  return { tag, multiple: false };
}

/** What the broker writes anew with each delivery, or would act on again. */
const NOT_CARRIED = ['x-delivery-count', 'x-acquired-count', 'CC', 'BCC'];

/** As it came, with where it was first published to: the way through a queue's name would hide that. */
export function carried({
  properties: all,
  fields,
}: Pick<ConsumeMessage, 'properties' | 'fields'>): MessageProperties & {
  headers: Readonly<Record<string, unknown>>;
} {
  const {
    contentType,
    contentEncoding,
    correlationId,
    replyTo,
    expiration,
    messageId,
    timestamp,
    type,
    appId,
    priority,
    headers = {},
  } = all as MessageProperties;
  const kept = Object.entries(headers).filter(([name]) => !NOT_CARRIED.includes(name));
  return {
    ...{ contentType, contentEncoding, correlationId, replyTo, expiration, messageId, timestamp, type },
    ...{ appId, priority },
    headers: {
      [headerNames.originalRoutingKey]: fields.routingKey,
      [headerNames.originalExchange]: fields.exchange,
      ...Object.fromEntries(kept),
    },
  };
}

/** Under a memory or disk alarm a broker reads nothing more of a connection that publishes, questions included. */
function silenceOf({ blocked }: BrokerConnection): Error {
  return new Error(
    blocked === undefined
      ? `the broker did not answer within ${ANSWER_LIMIT_MS} ms`
      : `the broker blocks publishing (${blocked})`,
  );
}

function failed({ from, to }: MoveOptions, cause: unknown): MoveFailedError {
  return new MoveFailedError(from, to, cause);
}
