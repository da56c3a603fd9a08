/**
 * One supervised connection to a broker.
 *
 * The story: `connectBroker` returns at once and connects in the background. Whatever ends the connection (socket,
 * heartbeat, broker shutdown, an operator's hand), the supervisor makes a new one after a jittered, growing wait, for
 * ever, until `close()`. What wants to use it asks for the present model with `opened()`; publisher and consumer keep
 * their own channels on it (channel.ts), which come back on every new connection.
 *
 * amqplib's own recovery is not used: it never brings channels back and can install a dead connection.
 */
import type { Socket } from 'node:net';
import { connect, type ChannelModel } from 'amqplib';
import { createBackoff } from './backoff.ts';
import { connectionError, parseEndpoint, type Endpoint } from './endpoint.ts';
import { ClosedError, type BrokerConnectionError } from './errors.ts';
import { deferred, settledWithin, sleep, unlessAborted, type Deferred } from './timing.ts';
import type { TlsOptions } from './tls.ts';

export type ConnectionState =
  /** `generation` counts the connections made so far, from 1. */
  | { state: 'open'; generation: number }
  /** Lost, or could not be made; the next try is in `retryInMs`. */
  | { state: 'disconnected'; error: BrokerConnectionError; retryInMs: number }
  /** The broker takes no publishing on this connection for now (memory or disk alarm). */
  | { state: 'blocked'; reason: string }
  | { state: 'unblocked' }
  | { state: 'closed' };

export interface ConnectOptions {
  /** `amqp(s)://user:password@host:port/vhost`; a function is asked again for each new connection (rotated credentials). */
  url: string | (() => string | Promise<string>);
  /** Shown by the broker as the connection's name. */
  name: string;
  onState?: (state: ConnectionState) => void;
  /** Seconds, 20 unless the URL says `?heartbeat=`; a dead peer is noticed after two to three of them. */
  heartbeatSeconds?: number;
  /** Limit for one try to connect, handshake included; 10,000. */
  connectTimeoutMs?: number;
  /** Wait after a failed try; 100 and 15,000. */
  backoff?: { initialMs: number; maxMs: number };
  /** Certificates for amqps. */
  tls?: TlsOptions;
}

export interface BrokerConnection extends AsyncDisposable {
  readonly name: string;
  readonly isOpen: boolean;
  readonly isClosed: boolean;
  /** Why the broker blocks publishing, while it does. */
  readonly blocked: string | undefined;
  /** The last reason for not being open; undefined while open. */
  readonly lastError: BrokerConnectionError | undefined;
  /** The present amqplib model, as soon as there is one. Rejects with ClosedError after close(), or with the signal's reason. */
  opened(signal?: AbortSignal): Promise<ChannelModel>;
  /** Called on every change of state; returns how to stop listening. */
  subscribe(listener: (state: ConnectionState) => void): () => void;
  /** Another connection with the same settings, of its own; the caller closes it. */
  sibling(name: string): BrokerConnection;
  /** Gives up the present connection as broken (only if it still is `model`, when given); the supervisor makes a new one. */
  reset(reason: string, model?: ChannelModel): void;
  /** Work to be done before the connection closes, such as closing a channel; returns how to forget it. */
  beforeClose(work: () => Promise<void>): () => void;
  /** Closes the channels kept on it, then itself. Final and idempotent; resolves when the socket is gone. */
  close(): Promise<void>;
}

const CLOSE_LIMIT_MS = 5_000;
/** A connection that lived this long starts its next backoff from the beginning. */
const STABLE_MS = 5_000;

export function connectBroker(options: ConnectOptions): BrokerConnection {
  return new SupervisedConnection(options);
}

class SupervisedConnection implements BrokerConnection {
  readonly name: string;
  readonly #options: ConnectOptions;
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  readonly #dependents = new Set<() => Promise<void>>();
  readonly #waiters = new Set<Deferred<ChannelModel>>();
  readonly #ending = new AbortController();
  readonly #loop: Promise<void>;
  #endpoint: Endpoint | undefined;
  #model: ChannelModel | undefined;
  #generation = 0;
  #blocked: string | undefined;
  #lastError: BrokerConnectionError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.name = options.name;
    if (options.onState !== undefined) this.#listeners.add(options.onState);
    this.#loop = this.#supervise();
  }

  get isOpen(): boolean {
    return this.#model !== undefined;
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  get blocked(): string | undefined {
    return this.#blocked;
  }

  get lastError(): BrokerConnectionError | undefined {
    return this.#lastError;
  }

  async opened(signal?: AbortSignal): Promise<ChannelModel> {
    signal?.throwIfAborted();
    if (this.isClosed) throw new ClosedError(`the connection ${this.name}`);
    if (this.#model !== undefined) return this.#model;
    const waiter = deferred<ChannelModel>();
    this.#waiters.add(waiter);
    try {
      return await unlessAborted(waiter.promise, signal);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  beforeClose(work: () => Promise<void>): () => void {
    this.#dependents.add(work);
    return () => void this.#dependents.delete(work);
  }

  subscribe(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  sibling(name: string): BrokerConnection {
    const { onState: _, ...settings } = this.#options;
    return connectBroker({ ...settings, name });
  }

  reset(reason: string, model = this.#model): void {
    if (this.#model !== undefined && this.#model === model) socketOf(this.#model).destroy(new Error(reason));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // amqplib sends connection.close past what still lies in a channel's buffer; a channel closed first takes it along
    await Promise.allSettled([...this.#dependents].map((close) => close()));
    const model = this.#model;
    this.#ending.abort();
    for (const waiter of this.#waiters) waiter.reject(new ClosedError(`the connection ${this.name}`));
    if (model !== undefined) {
      // when the socket dies meanwhile, amqplib never settles close(); the loop ends all the same
      const graceful = await settledWithin(Promise.race([model.close(), this.#loop]), CLOSE_LIMIT_MS);
      if (!graceful) socketOf(model).destroy(new Error('the broker did not answer the close'));
    }
    await this.#loop;
    this.#tell({ state: 'closed' });
    this.#listeners.clear();
  }

  #over(): boolean {
    return this.#ending.signal.aborted;
  }

  async #supervise(): Promise<void> {
    const { initialMs, maxMs } = this.#options.backoff ?? { initialMs: 100, maxMs: 15_000 };
    const backoff = createBackoff({ initialMs, maxMs });
    while (!this.#over()) {
      let failure: unknown;
      try {
        const opened = performance.now();
        failure = await this.#live();
        if (performance.now() - opened > STABLE_MS) backoff.reset();
      } catch (error) {
        failure = error;
      }
      if (this.#over()) return;
      const error = connectionError(failure, this.#endpoint);
      const retryInMs = backoff.next();
      this.#lastError = error;
      this.#tell({ state: 'disconnected', error, retryInMs });
      await sleep(retryInMs, this.#ending.signal);
    }
  }

  /** One connection from its beginning to its end; resolves with the reason of the end, throws when there was no beginning. */
  async #live(): Promise<unknown> {
    const model = await this.#connect();
    const lost = deferred<unknown>();
    let reason: unknown = new Error('the connection was closed');
    model.on('error', (error) => (reason = error));
    model.on('handler-error', (error) => (reason = error));
    model.on('close', (error) => {
      lost.resolve(error ?? reason);
    });
    model.on('blocked', (why) => {
      this.#blocked = why;
      this.#tell({ state: 'blocked', reason: why });
    });
    model.on('unblocked', () => {
      this.#blocked = undefined;
      this.#tell({ state: 'unblocked' });
    });
    const socket = socketOf(model);
    gatherWrites(socket);
    // amqplib listens to 'end' and 'error' only; and a connection may have ended before there were listeners.
    socket.on('close', () => {
      lost.resolve(reason);
    });
    if (socket.writableEnded || socket.destroyed) lost.resolve(reason);
    if (this.isClosed) {
      socket.destroy(new Error('closed while connecting'));
      return await lost.promise;
    }
    this.#model = model;
    this.#generation += 1;
    this.#lastError = undefined;
    this.#tell({ state: 'open', generation: this.#generation });
    for (const waiter of this.#waiters) waiter.resolve(model);
    const end = await lost.promise;
    this.#model = undefined;
    if (this.#blocked !== undefined) {
      this.#blocked = undefined;
      this.#tell({ state: 'unblocked' });
    }
    await this.#discard(socket);
    return end;
  }

  async #connect(): Promise<ChannelModel> {
    const { url, name, tls } = this.#options;
    const text = typeof url === 'string' ? url : await url();
    this.#endpoint = parseEndpoint(text, this.#options.heartbeatSeconds ?? 20);
    return await connect(this.#endpoint.connect, {
      ...tls,
      timeout: this.#options.connectTimeoutMs ?? 10_000,
      keepAlive: true,
      keepAliveDelay: 10_000,
      noDelay: true,
      clientProperties: { connection_name: name, product: 'warren' },
    });
  }

  /** amqplib half-closes its socket; with a dead peer that would stay for minutes and hold the process. */
  async #discard(socket: Socket): Promise<void> {
    if (!socket.destroyed) {
      const gone = new Promise((resolve) => socket.once('close', resolve));
      await settledWithin(gone, 500);
    }
    socket.destroy();
  }

  #tell(state: ConnectionState): void {
    for (const listener of this.#listeners) {
      try {
        listener(state);
      } catch {
        // a listener's failure is its own; the supervisor must go on
      }
    }
  }
}

/** The socket under a model: amqplib has no public way to it, and only destroying it ends a half-dead connection. */
function socketOf(model: ChannelModel): Socket {
  return (model.connection as unknown as { stream: Socket }).stream;
}

/**
 * amqplib writes frame by frame, each a system call. Held back until the code that writes them is done, the frames of one
 * turn go out together: half the processor time of a busy publisher.
 */
function gatherWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: Parameters<Socket['write']>) => boolean;
  let gathering = false;
  const flush = (): void => {
    gathering = false;
    socket.uncork();
  };
  socket.write = ((...args: Parameters<Socket['write']>) => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      process.nextTick(flush);
    }
    return write(...args);
  }) as Socket['write'];
}
