/**
 * What one channel is told of its deliveries: acknowledged in as few frames as possible (once per turn, ack-window.ts),
 * rejected, or given back. Nothing is said of a channel that is over.
 */
import type { Channel, ConsumeMessage, Message } from 'amqplib';
import type { ConsumerSettings } from '@warren/topology';
import { AckWindow } from './ack-window.ts';
import type { Lease } from './channel.ts';
import { asError } from './errors.ts';

export interface SettlementOptions {
  settings: Pick<ConsumerSettings, 'prefetch' | 'strict'>;
  /** A delivery that cannot be given back: its channel is given up instead, or it is left to be read again. */
  isKept?(message: ConsumeMessage): boolean;
  /** A delivery is handled or put aside. */
  onDone?(message: ConsumeMessage): void;
}

/** How long a finished delivery may wait for a slower one before it before it is acknowledged by itself. */
const STRAGGLER_MS = 20;

export class Settlement {
  readonly #lease: Lease<Channel>;
  readonly #options: SettlementOptions;
  readonly #window = new AckWindow();
  #flush: NodeJS.Immediate | undefined;
  #stragglers: NodeJS.Timeout | undefined;
  #hurried = false;
  #ended = false;

  constructor(lease: Lease<Channel>, options: SettlementOptions) {
    this.#lease = lease;
    this.#options = options;
  }

  /** Call it in the order of arrival. */
  arrived(message: ConsumeMessage): void {
    this.#window.arrived(message.fields.deliveryTag);
  }

  acknowledge(message: ConsumeMessage): void {
    this.#window.finish(message.fields.deliveryTag);
    this.#options.onDone?.(message);
    this.#scheduleFlush();
  }

  /** Acknowledges what needed no handling. */
  skip(message: ConsumeMessage): void {
    this.#window.finish(message.fields.deliveryTag);
    this.#scheduleFlush();
  }

  /** A failed attempt: the broker delays it and counts it. */
  reject(message: ConsumeMessage): void {
    this.#window.settled(message.fields.deliveryTag);
    if (this.#options.isKept?.(message) === true) {
      this.#lease.abandon(new Error('a message of a stream could not be put aside'));
      return;
    }
    this.#onChannel((channel) => channel.reject(message, true));
    this.#scheduleFlush();
  }

  /** Not an attempt: RabbitMQ 4.3 does not count a nack. In order it goes back with the channel, in its place. */
  giveBack(message: ConsumeMessage): void {
    if (this.#options.settings.strict) return;
    this.#window.settled(message.fields.deliveryTag);
    if (this.#options.isKept?.(message) === true) return;
    this.#onChannel((channel) => channel.nack(message, false, true));
  }

  /** Nothing more is delivered: what is finished waits for nothing before it. */
  hurry(): void {
    this.#hurried = true;
  }

  /** Sends every acknowledgement that is due. */
  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const prefix = this.#window.takePrefix();
    if (prefix !== undefined) this.#ack(prefix.tag, prefix.multiple);
    if (this.#window.held === 0) return;
    if (this.#hurried || this.#window.held * 2 >= this.#options.settings.prefetch) this.#flushStragglers();
    else this.#stragglers ??= setTimeout(() => this.#flushStragglers(), STRAGGLER_MS);
  }

  /** The channel is over. */
  end(): void {
    this.#ended = true;
    clearImmediate(this.#flush);
    clearTimeout(this.#stragglers);
  }

  #scheduleFlush(): void {
    if (!this.#ended) this.#flush ??= setImmediate(() => this.flush());
  }

  #flushStragglers(): void {
    clearTimeout(this.#stragglers);
    this.#stragglers = undefined;
    for (const { tag } of this.#window.takeStragglers()) this.#ack(tag, false);
  }

  #ack(tag: number, multiple: boolean): void {
    this.#onChannel((channel) => channel.ack(messageWith(tag), multiple));
  }

  #onChannel(work: (channel: Channel) => void): void {
    if (!this.#lease.alive) return; // a delivery of a channel that is gone is never settled on another
    try {
      work(this.#lease.channel);
    } catch (error) {
      this.#lease.abandon(asError(error));
    }
  }
}

/** amqplib wants a message to acknowledge, and reads nothing but its tag. */
function messageWith(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as unknown as Message;
}
