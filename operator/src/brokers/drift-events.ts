/**
 * Listens to what the broker tells of changes (plug-in rabbitmq_event_exchange), so that drift is noticed within a second and
 * not only by the next comparison. Nothing depends on it: where it cannot listen, and for what it misses, the comparison
 * every few seconds stays.
 *
 * The exchange lies in the virtual host that the plug-in was told (`/` unless rabbitmq.conf says otherwise) and tells of all
 * of them. Ours is looked at first, then `/`.
 */
import { connectBroker, KeptChannel } from '@warren/rabbitmq';
import type { BrokerConnection as AmqpConnection, ConnectOptions } from '@warren/rabbitmq';
import type { Inventory } from '@warren/topology';
import { causesOf, EVENT_EXCHANGE, EVENT_KEYS, isNews, objectOf, readEvent } from './broker-events.ts';
import type { BrokerEvent } from './broker-events.ts';

/** Whether changes by hand are noticed by events, or why they are not. */
export type Watching = { state: 'listening' } | { state: 'not listening'; reason: WhyNot; message: string };
type WhyNot = 'Connecting' | 'NoEventExchange' | 'Forbidden' | 'Unreachable';

export interface DriftEventsOptions {
  /** How to reach the virtual host that is watched. */
  amqp: Pick<ConnectOptions, 'url' | 'tls'> & { url: string };
  vhost: string;
  /** Where the exchange is; undefined when there is none that this user may see. */
  locate: () => Promise<string | undefined>;
  /** What is known of the virtual host; undefined when it is to be read anew anyway. */
  found: () => Inventory | undefined;
  isOurs: (name: string) => boolean;
  /** Whether a write of ours to one of these objects is under way. */
  isWriting: (objects: readonly string[]) => boolean;
  /** Something was changed by somebody else. At most once a second. */
  onNews: () => void;
  /** What `watching` says has changed. */
  onChange: () => void;
  /**
   * How often it is tried again where there is nothing to listen to, or no right to, and made sure that what is listened to
   * is still there: milliseconds; 60,000.
   */
  againMs?: number;
}

/** Events of one change come together; those of our own writes may come before their answers. */
const GATHER_MS = 200;
const AT_MOST_EVERY_MS = 1_000;
const AGAIN_MS = 60_000;

export class DriftEvents {
  readonly #options: DriftEventsOptions;
  readonly #pending = new Map<string, BrokerEvent>();
  #watching: Watching = { state: 'not listening', reason: 'Connecting', message: 'it is not known yet' };
  #amqp: AmqpConnection | undefined;
  /** Binds what is listened to, as often as one likes. */
  #bind: (() => Promise<void>) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastNews = -Infinity;
  #triedAt = -Infinity;
  #closed = false;

  constructor(options: DriftEventsOptions) {
    this.#options = options;
  }

  get watching(): Watching {
    return this.#watching;
  }

  /** Begins to listen, if it does not yet and it is time to try. */
  async keep(): Promise<void> {
    const { againMs = AGAIN_MS } = this.#options;
    if (this.#closed || performance.now() - this.#triedAt < againMs) return;
    this.#triedAt = performance.now();
    if (this.#amqp !== undefined) {
      this.#makeSure();
      return;
    }
    const where = await this.#options.locate();
    if (where !== undefined) {
      this.#listen(where);
      return;
    }
    const { vhost } = this.#options;
    this.#say({
      state: 'not listening',
      reason: 'NoEventExchange',
      message:
        `there is no exchange ${EVENT_EXCHANGE} in ${[...new Set([vhost, '/'])].join(' or ')} that this user may see: ` +
        'changes by hand are noticed by the next comparison. Enable rabbitmq_event_exchange; its setting event_exchange.vhost says where',
    });
  }

  #listen(where: string): void {
    const { amqp } = this.#options;
    const url = new URL(amqp.url);
    url.pathname = `/${encodeURIComponent(where)}`;
    const connection = connectBroker({
      ...amqp,
      url: url.toString(),
      name: 'warren-operator: events',
      onState: (state) => {
        if (state.state !== 'disconnected') return;
        const { code, message } = state.error;
        if (code === 'WARREN_BROKER_FORBIDDEN') this.#giveUp('Forbidden', message);
        else this.#say({ state: 'not listening', reason: 'Unreachable', message });
      },
    });
    this.#amqp = connection;
    new KeptChannel(connection, {
      open: (model) => model.createConfirmChannel(),
      ready: async ({ channel }) => {
        const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
        const bind = async () => {
          for (const key of EVENT_KEYS) await channel.bindQueue(queue, EVENT_EXCHANGE, key);
        };
        await bind();
        this.#bind = bind;
        await channel.consume(
          queue,
          (message) => {
            if (message === null) return;
            const headers: Record<string, unknown> = message.properties.headers ?? {};
            this.#note(readEvent(message.fields.routingKey, headers));
          },
          { noAck: true },
        );
        this.#say({ state: 'listening' });
      },
      lost: () => undefined,
      // Anything else is tried again with a growing pause.
      failing: ({ message }) => {
        if (/ACCESS[-_]REFUSED/.test(message)) this.#giveUp('Forbidden', message);
        else if (/NOT[-_]FOUND/.test(message)) this.#giveUp('NoEventExchange', message);
        else this.#say({ state: 'not listening', reason: 'Unreachable', message });
      },
    });
  }

  /** A plug-in that is disabled takes its exchange and our bindings along, and tells nobody. */
  #makeSure(): void {
    this.#bind?.().catch(() => {
      // The channel has closed, and its owner knows why.
    });
  }

  /** There is nothing to be had now: the connection goes, and it is tried again later. */
  #giveUp(reason: WhyNot, why: string): void {
    const connection = this.#amqp;
    if (connection === undefined) return;
    this.#amqp = undefined;
    this.#bind = undefined;
    void connection.close();
    this.#say({
      state: 'not listening',
      reason,
      message:
        reason === 'Forbidden'
          ? `this user may not listen to ${EVENT_EXCHANGE}, so changes by hand are noticed by the next comparison. It needs to read that exchange, and to configure, write and read amq.gen-.*: ${why}`
          : `changes by hand are noticed by the next comparison: ${why}`,
    });
  }

  #note(event: BrokerEvent | undefined): void {
    if (event === undefined || event.vhost !== this.#options.vhost) return;
    this.#pending.set(objectOf(event), event);
    this.#timer ??= setTimeout(() => this.#look(), GATHER_MS);
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#closed) return;
    const wait = this.#lastNews + AT_MOST_EVERY_MS - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#look(), wait);
      return;
    }
    const { found: read, isOurs, isWriting, onNews } = this.#options;
    const found = read();
    let news = false;
    for (const [object, event] of this.#pending) {
      // Its answer will tell whether it was ours.
      if (isWriting(causesOf(event))) continue;
      this.#pending.delete(object);
      news ||= found === undefined || isNews(event, found, isOurs);
    }
    if (this.#pending.size > 0) this.#timer = setTimeout(() => this.#look(), GATHER_MS);
    if (!news) return;
    this.#lastNews = performance.now();
    onNews();
  }

  #say(watching: Watching): void {
    const before = this.#watching;
    this.#watching = watching;
    const reasonOf = (one: Watching) => (one.state === 'listening' ? '' : one.reason);
    if (before.state !== watching.state || reasonOf(before) !== reasonOf(watching)) this.#options.onChange();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const connection = this.#amqp;
    this.#amqp = undefined;
    await connection?.close();
  }
}
