/**
 * The management API for one virtual host: bulk reads that serve every subscription at once, and single writes.
 *
 * Reads cost pages, not objects (500 queues a page, without statistics). Writes are idempotent: declaring what is there
 * as wanted and deleting what is not there both succeed. Declaring what is there with other arguments is
 * WARREN_BROKER_CONFLICT: nothing was changed.
 */
import { z } from 'zod';
import { ManagementError } from '../errors.ts';
import {
  bindingAnswer,
  exchangeAnswer,
  policyAnswer,
  queueAnswer,
  readAnswer,
  type BindingFound,
  type ExchangeFound,
  type PolicyFound,
  type QueueFound,
  type QueueStats,
} from './found.ts';
import { ManagementHttp, path, type CallOptions, type TlsOptions } from './http.ts';

export interface ManagementOptions {
  /** `http(s)://user:password@host:port`. */
  url: string;
  vhost: string;
  /** Limit for one call with all its tries, in milliseconds; 10,000. */
  timeoutMs?: number;
  /** Calls at a time; 16. */
  maxParallel?: number;
  /** Tries of one call after connection errors, 429 and 5xx; 4. */
  maxTries?: number;
  tls?: TlsOptions;
}

export interface Found {
  exchanges: ExchangeFound[];
  queues: QueueFound[];
  bindings: BindingFound[];
  policies: PolicyFound[];
}

export interface Overview {
  /** Of the broker, such as "4.3.6". */
  version: string;
  clusterName: string;
}

/** A resource alarm: the broker blocks every publisher until it is over. */
export interface Alarm {
  node: string;
  resource: string;
}

export type Binding = Pick<
  BindingFound,
  'source' | 'destination' | 'destinationType' | 'routingKey' | 'arguments'
>;
export type Exchange = Pick<ExchangeFound, 'name' | 'type' | 'durable' | 'autoDelete' | 'arguments'>;
export type Queue = Pick<QueueFound, 'name' | 'durable' | 'autoDelete' | 'arguments'>;
export type Policy = PolicyFound;

interface Signal {
  signal?: AbortSignal;
}

export interface ManagementClient extends AsyncDisposable {
  overview(options?: Signal): Promise<Overview>;
  /** Everything in the virtual host, but the bindings of the default exchange: every queue has one, by its name alone. */
  inventory(options?: Signal): Promise<Found>;
  /** Counts of every queue, of the broker's last tick (RabbitMQ counts quorum queues every 5 s); consumers are of now. */
  queueStats(options?: Signal): Promise<Map<string, QueueStats>>;
  /** One queue, or undefined when there is none. */
  queue(name: string, options?: Signal): Promise<QueueFound | undefined>;
  /** As inventory() has them; none for a queue that is not there. */
  bindingsOf(queue: string, options?: Signal): Promise<BindingFound[]>;
  /** Alarms in force in the cluster; none means that publishing works. */
  alarms(options?: Signal): Promise<Alarm[]>;

  declareExchange(exchange: Exchange, options?: Signal): Promise<void>;
  deleteExchange(name: string, options?: Signal): Promise<void>;
  declareQueue(queue: Queue, options?: Signal): Promise<void>;
  /** At once, with all it holds. Quorum queues know no if-empty: unbind, look again, then delete. */
  deleteQueue(name: string, options?: Signal): Promise<void>;
  bind(binding: Binding, options?: Signal): Promise<void>;
  unbind(binding: Binding, options?: Signal): Promise<void>;
  putPolicy(policy: Policy, options?: Signal): Promise<void>;
  deletePolicy(name: string, options?: Signal): Promise<void>;

  /** Names of the open connections of this virtual host, with what their clients call themselves. */
  connections(options?: Signal): Promise<{ name: string; clientName: string | undefined }[]>;
  /** Ends a connection as an administrator would. */
  closeConnection(name: string, reason: string, options?: Signal): Promise<void>;
  /** Final and idempotent; what is under way rejects with ClosedError. */
  close(): Promise<void>;
}

export function createManagementClient(options: ManagementOptions): ManagementClient {
  return new VhostClient(options);
}

const PAGE_SIZE = 500;
/** How often a listing is read again because the objects changed while it was read. */
const LISTING_TRIES = 3;

const overviewAnswer = z.object({ rabbitmq_version: z.string(), cluster_name: z.string().default('') });
const pageAnswer = z.object({ page_count: z.number(), total_count: z.number(), items: z.array(z.unknown()) });
const consumersAnswer = z.array(z.object({ queue: z.object({ name: z.string() }) }));
const alarmsAnswer = z.object({
  alarms: z
    .array(z.object({ node: z.string().default(''), resource: z.string().default('unknown') }))
    .default([]),
});
const connectionsAnswer = z.array(
  z.object({
    name: z.string(),
    vhost: z.string().optional(),
    client_properties: z.object({ connection_name: z.string().optional() }).optional(),
  }),
);

class VhostClient implements ManagementClient {
  readonly #http: ManagementHttp;
  readonly #vhost: string;

  constructor(options: ManagementOptions) {
    const { url, timeoutMs = 10_000, maxParallel = 16, maxTries = 4, tls } = options;
    this.#http = new ManagementHttp({ url, timeoutMs, maxParallel, maxTries, tls });
    this.#vhost = options.vhost;
  }

  async overview(options: Signal = {}): Promise<Overview> {
    const answer = await this.#get(overviewAnswer, path('overview'), {
      query: { disable_stats: 'true' },
      ...options,
    });
    return { version: answer.rabbitmq_version, clusterName: answer.cluster_name };
  }

  async inventory(options: Signal = {}): Promise<Found> {
    const [exchanges, queues, bindings, policies] = await Promise.all([
      this.#pages(exchangeAnswer, path('exchanges', this.#vhost), {}, options),
      this.#queues(options),
      this.#bindings(path('bindings', this.#vhost), options),
      this.#get(z.array(policyAnswer), path('policies', this.#vhost), options),
    ]);
    return { exchanges, queues, bindings, policies };
  }

  async queueStats(options: Signal = {}): Promise<Map<string, QueueStats>> {
    const [queues, consumers] = await Promise.all([
      this.#queues(options),
      this.#get(consumersAnswer, path('consumers', this.#vhost), options),
    ]);
    const consumersOf = new Map<string, number>();
    for (const { queue } of consumers) consumersOf.set(queue.name, (consumersOf.get(queue.name) ?? 0) + 1);
    return new Map(
      queues.map(({ name, messages, ready, unacked, state }) => {
        const known = messages !== undefined && ready !== undefined && unacked !== undefined;
        const delayed = known ? Math.max(0, messages - ready - unacked) : undefined;
        return [name, { messages, ready, unacked, delayed, consumers: consumersOf.get(name) ?? 0, state }];
      }),
    );
  }

  async queue(name: string, options: Signal = {}): Promise<QueueFound | undefined> {
    const where = path('queues', this.#vhost, name);
    const query = { disable_stats: 'true', enable_queue_totals: 'true' };
    const { status, body } = await this.#http.call('GET', where, { accept: [404], query, ...options });
    return status === 404 ? undefined : readAnswer(queueAnswer, body, `GET ${where}`);
  }

  async bindingsOf(queue: string, options: Signal = {}): Promise<BindingFound[]> {
    return await this.#bindings(path('queues', this.#vhost, queue, 'bindings'), {
      accept: [404],
      ...options,
    });
  }

  async alarms(options: Signal = {}): Promise<Alarm[]> {
    const where = path('health', 'checks', 'alarms');
    const { status, body } = await this.#http.call('GET', where, { accept: [503], ...options });
    if (status !== 503) return [];
    const { alarms } = readAnswer(alarmsAnswer, body, `GET ${where}`);
    return alarms.length > 0 ? alarms : [{ node: '', resource: 'unknown' }];
  }

  async declareExchange(
    { name, type, durable, autoDelete, ...exchange }: Exchange,
    options: Signal = {},
  ): Promise<void> {
    const body = { type, durable, auto_delete: autoDelete, arguments: exchange.arguments };
    await this.#http.call('PUT', path('exchanges', this.#vhost, name), { body, ...options });
  }

  async deleteExchange(name: string, options: Signal = {}): Promise<void> {
    await this.#delete(path('exchanges', this.#vhost, name), options);
  }

  async declareQueue({ name, durable, autoDelete, ...queue }: Queue, options: Signal = {}): Promise<void> {
    const body = { durable, auto_delete: autoDelete, arguments: queue.arguments };
    await this.#http.call('PUT', path('queues', this.#vhost, name), { body, ...options });
  }

  async deleteQueue(name: string, options: Signal = {}): Promise<void> {
    await this.#delete(path('queues', this.#vhost, name), options);
  }

  async bind(binding: Binding, options: Signal = {}): Promise<void> {
    const body = { routing_key: binding.routingKey, arguments: binding.arguments };
    await this.#http.call('POST', this.#between(binding), { body, ...options });
  }

  /** The broker names a binding by a key of its own making (a hash where there are arguments), so it is looked up. */
  async unbind(binding: Binding, options: Signal = {}): Promise<void> {
    const between = this.#between(binding);
    const wanted = canonical(binding.arguments);
    const same = (await this.#bindings(between, { accept: [404], ...options })).filter(
      (each) => each.routingKey === binding.routingKey && canonical(each.arguments) === wanted,
    );
    for (const { propertiesKey } of same) {
      await this.#delete(`${between}/${encodeURIComponent(propertiesKey)}`, options);
    }
  }

  async putPolicy({ name, applyTo, ...policy }: Policy, options: Signal = {}): Promise<void> {
    const body = { ...policy, 'apply-to': applyTo };
    await this.#http.call('PUT', path('policies', this.#vhost, name), { body, ...options });
  }

  async deletePolicy(name: string, options: Signal = {}): Promise<void> {
    await this.#delete(path('policies', this.#vhost, name), options);
  }

  async connections(options: Signal = {}): Promise<{ name: string; clientName: string | undefined }[]> {
    const all = await this.#get(connectionsAnswer, path('vhosts', this.#vhost, 'connections'), options);
    return all.map(({ name, client_properties: client }) => ({ name, clientName: client?.connection_name }));
  }

  async closeConnection(name: string, reason: string, options: Signal = {}): Promise<void> {
    await this.#delete(`${path('connections', name)}?reason=${encodeURIComponent(reason)}`, options);
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #between({ source, destination, destinationType }: Binding): string {
    return path('bindings', this.#vhost, 'e', source, destinationType === 'queue' ? 'q' : 'e', destination);
  }

  async #bindings(where: string, options: CallOptions): Promise<BindingFound[]> {
    const { status, body } = await this.#http.call('GET', where, options);
    if (status === 404) return [];
    return readAnswer(z.array(bindingAnswer), body, `GET ${where}`).filter(({ source }) => source !== '');
  }

  #queues(options: Signal): Promise<QueueFound[]> {
    return this.#pages(queueAnswer, path('queues', this.#vhost), { enable_queue_totals: 'true' }, options);
  }

  async #get<T>(schema: z.ZodType<T>, where: string, options: CallOptions): Promise<T> {
    const { body } = await this.#http.call('GET', where, options);
    return readAnswer(schema, body, `GET ${where}`);
  }

  async #delete(where: string, options: CallOptions): Promise<void> {
    await this.#http.call('DELETE', where, { ...options, accept: [404] });
  }

  /**
   * All pages of a listing. Pages are cut anew for each request: an object that is deleted meanwhile moves others over
   * a page's edge, and one would be missing without having been deleted. Such a listing is read again.
   */
  async #pages<T extends { name: string }>(
    schema: z.ZodType<T>,
    where: string,
    query: Record<string, string>,
    options: Signal,
  ): Promise<T[]> {
    const page = (number: number): Promise<z.output<typeof pageAnswer>> =>
      this.#get(pageAnswer, where, {
        query: { page: number, page_size: PAGE_SIZE, disable_stats: 'true', ...query },
        ...options,
      });
    for (let attempt = 1; ; attempt += 1) {
      const first = await page(1).catch((error: unknown) => {
        // a page behind the end is a 400; the first page of nothing too, on some versions
        if (
          error instanceof ManagementError &&
          error.status === 400 &&
          error.message.includes('page_out_of_range')
        ) {
          return { page_count: 0, total_count: 0, items: [] };
        }
        throw error;
      });
      const rest = await Promise.allSettled(
        Array.from({ length: Math.max(0, first.page_count - 1) }, (_, index) => page(index + 2)),
      );
      const failed = rest.find((each) => each.status === 'rejected');
      const pages = [first, ...rest.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))];
      const objects = new Map<string, T>();
      for (const { items } of pages) {
        for (const object of readAnswer(z.array(schema), items, `GET ${where}`))
          objects.set(object.name, object);
      }
      const steady =
        failed === undefined &&
        pages.every((each) => each.total_count === first.total_count) &&
        objects.size === first.total_count;
      if (steady) return [...objects.values()];
      if (attempt < LISTING_TRIES) continue;
      if (failed !== undefined) throw failed.reason;
      return [...objects.values()];
    }
  }
}

/** Arguments in one form whatever the order of their names. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
