/**
 * One channel, kept: made on the present connection, prepared by its owner, and made anew when it ends, be it with its
 * connection or alone (the broker closes a channel for every mistake: 404 a missing queue, 406 a bad ack, 403).
 *
 * Each channel is a Lease. Owners hold the lease, never "the channel": a delivery or a confirm belongs to the lease it
 * came with, and a lease that is over never becomes valid again.
 */
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { createBackoff } from './backoff.ts';
import type { BrokerConnection } from './connection.ts';
import { asError } from './errors.ts';
import { deferred, settledWithin, sleep, unlessAborted } from './timing.ts';

export interface Lease<C extends Channel> {
  readonly channel: C;
  /** Counts the owner's channels, from 1. */
  readonly epoch: number;
  /** False from the moment the channel can no longer be used. */
  readonly alive: boolean;
  /** Resolves with the reason when the channel is over; never rejects. */
  readonly over: Promise<Error>;
  /** Ends this channel because it is no longer any good; a new one is made. */
  abandon(reason: Error): void;
}

export interface ChannelOwner<C extends Channel> {
  open(model: ChannelModel): Promise<C>;
  /** Prepares a new channel. A rejection closes it; it is tried again after a growing wait. */
  ready(lease: Lease<C>): Promise<void> | void;
  /** The lease is over (also when ready() failed). Called once a lease. */
  lost(lease: Lease<C>, reason: Error): void;
  /** Tells that no channel could be made or kept, and when it is tried again. */
  failing?(reason: Error, retryInMs: number): void;
}

const CLOSE_LIMIT_MS = 5_000;
const STABLE_MS = 5_000;

export class KeptChannel<C extends Channel = ConfirmChannel> {
  readonly #connection: BrokerConnection;
  readonly #owner: ChannelOwner<C>;
  readonly #ending = new AbortController();
  readonly #forget: () => void;
  readonly #loop: Promise<void>;
  #lease: LeasedChannel<C> | undefined;
  #epoch = 0;

  constructor(connection: BrokerConnection, owner: ChannelOwner<C>) {
    this.#connection = connection;
    this.#owner = owner;
    this.#forget = connection.beforeClose(() => this.close());
    this.#loop = this.#keep();
  }

  /** No new channel after the present one. */
  retire(): void {
    this.#ending.abort();
  }

  /** Closes the present channel and makes no other; resolves when the broker has let go of it. */
  async close(): Promise<void> {
    this.retire();
    this.#lease?.abandon(new Error('closed'));
    await this.#loop;
    this.#forget();
  }

  async #keep(): Promise<void> {
    const signal = this.#ending.signal;
    const backoff = createBackoff({ initialMs: 100, maxMs: 10_000 });
    const over = (): boolean => signal.aborted;
    while (!over()) {
      let model: ChannelModel;
      try {
        model = await this.#connection.opened(signal);
      } catch {
        return; // retired, or the connection is closed for good
      }
      const started = performance.now();
      const reason = await this.#live(model);
      if (over()) return;
      if (performance.now() - started > STABLE_MS) backoff.reset();
      const retryInMs = backoff.next();
      this.#owner.failing?.(reason, retryInMs);
      await sleep(retryInMs, signal);
    }
  }

  /** One channel from its beginning to its end; the reason of the end. */
  async #live(model: ChannelModel): Promise<Error> {
    const opening = this.#owner.open(model);
    let channel: C;
    try {
      channel = await unlessAborted(opening, this.#ending.signal);
    } catch (error) {
      void opening.then((late) => late.close()).catch(() => undefined);
      return asError(error);
    }
    this.#epoch += 1;
    const lease = new LeasedChannel(channel, this.#epoch);
    this.#lease = lease;
    if (this.#ending.signal.aborted) lease.abandon(new Error('closed'));
    void lease.over.then((reason) => {
      this.#owner.lost(lease, reason);
    });
    try {
      if (lease.alive) await Promise.race([this.#owner.ready(lease), lease.over]);
    } catch (error) {
      lease.abandon(asError(error));
    }
    const reason = await lease.over;
    await this.#release(channel, model);
    this.#lease = undefined;
    return reason;
  }

  /** Closes the channel when its connection still lives; a broker that does not answer that has a dead connection. */
  async #release(channel: C, model: ChannelModel): Promise<void> {
    // when the connection dies meanwhile, amqplib emits 'close' but never settles close()
    const closed = new Promise((resolve) => channel.once('close', resolve));
    const closing = settledWithin(Promise.race([channel.close(), closed]), CLOSE_LIMIT_MS);
    const { blocked } = this.#connection;
    if (blocked !== undefined) return; // it is closed when the broker reads again
    if (!(await closing) && this.#connection.blocked === undefined) {
      this.#connection.reset('a channel did not close in time', model);
    }
  }
}

class LeasedChannel<C extends Channel> implements Lease<C> {
  readonly channel: C;
  readonly epoch: number;
  readonly #over = deferred<Error>();
  #alive = true;

  constructor(channel: C, epoch: number) {
    this.channel = channel;
    this.epoch = epoch;
    let reason = new Error('the channel was closed');
    channel.on('error', (error) => (reason = error));
    channel.on('handler-error', (error) => {
      this.abandon(error);
    });
    // before amqplib's own listener, which calls back every outstanding confirm: they ask for `alive`
    channel.prependListener('close', () => {
      this.abandon(reason);
    });
  }

  get alive(): boolean {
    return this.#alive;
  }

  get over(): Promise<Error> {
    return this.#over.promise;
  }

  abandon(reason: Error): void {
    this.#alive = false;
    this.#over.resolve(reason);
  }
}
