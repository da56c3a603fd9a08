/**
 * Exchanges, queues and bindings, made and removed over AMQP, so that each is made or removed whole.
 *
 * The management API does what it is asked for in the process that serves the request, and RabbitMQ (4.3.6) ends that process
 * when the client goes away. A quorum queue that was being declared or deleted is left listed as running and without its Raft
 * member: it takes and gives no message, and to declare it again says that it is there. A binding of a consistent-hash
 * exchange is left listed and without its place on the ring, or the other way round. A channel ends what it was told.
 */
import type { Binding, Exchange, Queue } from '@warren/topology';
import type { Channel } from 'amqplib';
import type { BrokerConnection } from './connection.ts';
import { withoutCredentials } from './endpoint.ts';
import { errorText, ManagementError, type ManagementCode } from './errors.ts';
import type { TokenBucket } from './management/token-bucket.ts';
import { Places } from './places.ts';
import { deferred } from './timing.ts';

interface Signal {
  signal?: AbortSignal;
}

/** Rejects with ManagementError, as the management API's client does; what is not there counts as removed. */
export interface TopologyWriter {
  declareExchange(exchange: Exchange, options?: Signal): Promise<void>;
  deleteExchange(name: string, options?: Signal): Promise<void>;
  declareQueue(queue: Queue, options?: Signal): Promise<void>;
  /** At once, with all it holds. Quorum queues know no if-empty: unbind, look again, then delete. */
  deleteQueue(name: string, options?: Signal): Promise<void>;
  bind(binding: Binding, options?: Signal): Promise<void>;
  unbind(binding: Binding, options?: Signal): Promise<void>;
}

export interface TopologyWriterOptions {
  /** Of the caller, who closes it. */
  connection: BrokerConnection;
  /** Channels at a time, 48: one of them does one thing at a time. */
  maxParallel?: number;
  /** For one operation, 30,000. */
  timeoutMs?: number;
  bucket?: TokenBucket | undefined;
  /** Told of every operation; `status` is the broker's reply code, 200 where it was done, undefined where it never answered. */
  observer?: ((request: { status: number | undefined }) => void) | undefined;
}

export function createTopologyWriter(options: TopologyWriterOptions): TopologyWriter {
  return new Channels(options);
}

class Channels implements TopologyWriter {
  readonly #options: TopologyWriterOptions;
  readonly #idle: Channel[] = [];
  readonly #places: Places;

  constructor(options: TopologyWriterOptions) {
    this.#options = options;
    this.#places = new Places(options.maxParallel ?? 48);
  }

  declareExchange({ name, type, ...exchange }: Exchange, options?: Signal): Promise<void> {
    return this.#do(`declare exchange ${name}`, options, (channel) =>
      channel.assertExchange(name, type, exchange),
    );
  }

  deleteExchange(name: string, options?: Signal): Promise<void> {
    return this.#do(`delete exchange ${name}`, options, (channel) => channel.deleteExchange(name));
  }

  declareQueue({ name, ...queue }: Queue, options?: Signal): Promise<void> {
    return this.#do(`declare queue ${name}`, options, (channel) => channel.assertQueue(name, queue));
  }

  deleteQueue(name: string, options?: Signal): Promise<void> {
    return this.#do(`delete queue ${name}`, options, (channel) => channel.deleteQueue(name));
  }

  bind(binding: Binding, options?: Signal): Promise<void> {
    const { source, destination, destinationType, routingKey, arguments: args } = binding;
    return this.#do(`bind ${destination} to ${source}`, options, (channel) =>
      destinationType === 'queue'
        ? channel.bindQueue(destination, source, routingKey, args)
        : channel.bindExchange(destination, source, routingKey, args),
    );
  }

  async unbind(binding: Binding, options?: Signal): Promise<void> {
    const { source, destination, destinationType, routingKey, arguments: args } = binding;
    try {
      await this.#do(`unbind ${destination} from ${source}`, options, (channel) =>
        destinationType === 'queue'
          ? channel.unbindQueue(destination, source, routingKey, args)
          : channel.unbindExchange(destination, source, routingKey, args),
      );
    } catch (error) {
      if (!(error instanceof ManagementError) || error.code !== 'WARREN_BROKER_NOT_FOUND') throw error;
    }
  }

  #do(
    name: string,
    { signal }: Signal = {},
    operation: (channel: Channel) => PromiseLike<unknown>,
  ): Promise<void> {
    return this.#places.take(async () => {
      await this.#options.bucket?.take(signal);
      await this.#on(name, operation);
    }, signal);
  }

  /** One that was begun is waited for: whoever asked wants to know whether it was done. */
  async #on(name: string, operation: (channel: Channel) => PromiseLike<unknown>): Promise<void> {
    const { connection, timeoutMs = 30_000, observer } = this.#options;
    const limit = deferred<never>();
    const timer = setTimeout(() => {
      limit.reject(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    const opening = this.#open(AbortSignal.timeout(timeoutMs));
    let channel: Channel | undefined;
    const lost = deferred<never>();
    const onError = (reason: Error) => lost.reject(reason);
    const onClose = () => lost.reject(connection.lastError ?? new Error('the channel was closed'));
    let isAnswered = false;
    try {
      channel = await Promise.race([opening, limit.promise]);
      channel.once('error', onError);
      channel.once('close', onClose);
      await Promise.race([operation(channel), lost.promise, limit.promise]);
      isAnswered = true;
      observer?.({ status: 200 });
    } catch (error) {
      const failure = errorOf(name, error);
      observer?.({ status: failure.status });
      throw failure;
    } finally {
      clearTimeout(timer);
      channel?.off('error', onError);
      channel?.off('close', onClose);
      if (isAnswered && channel !== undefined) this.#idle.push(channel);
      // The broker has closed it, is silent, or opens it when nobody waits for it any more.
      else void opening.then((late) => late.close()).catch(() => undefined);
    }
  }

  async #open(signal: AbortSignal): Promise<Channel> {
    const kept = this.#idle.pop();
    if (kept !== undefined) return kept;
    const channel = await (await this.#options.connection.opened(signal)).createChannel();
    channel.on('error', () => undefined); // the operation is told
    channel.once('close', () => {
      const at = this.#idle.indexOf(channel);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return channel;
  }
}

/** AMQP 0-9-1's reply codes, as the management API would tell of the same. */
const codeOfReply: Partial<Record<number, ManagementCode>> = {
  403: 'WARREN_BROKER_FORBIDDEN',
  404: 'WARREN_BROKER_NOT_FOUND',
  406: 'WARREN_BROKER_CONFLICT',
  541: 'WARREN_BROKER_FAILED',
};

function errorOf(name: string, cause: unknown): ManagementError {
  const { code } = cause as { code?: unknown };
  const text = withoutCredentials(errorText(cause));
  if (typeof code !== 'number') return new ManagementError('WARREN_BROKER_UNREACHABLE', name, text);
  // "Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - ...""
  const said = /with message "(?:[A-Z_]+ - )?(.*)"/s.exec(text)?.[1] ?? text;
  return new ManagementError(codeOfReply[code] ?? 'WARREN_BROKER_REFUSED', name, said, { status: code });
}
