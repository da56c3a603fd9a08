/**
 * The management API for one virtual host: bulk reads that serve every subscription at once, and single writes.
 *
 * A listing is one call however many objects there are, and without statistics. Writes are idempotent: declaring what is there
 * as wanted and deleting what is not there both succeed. Declaring what is there with other arguments is
 * WARREN_BROKER_CONFLICT: nothing was changed.
 */
import { canonical } from '@warren/topology';
import { z } from 'zod';
import {
  activityAnswer,
  bindingAnswer,
  exchangeAnswer,
  headAnswer,
  policyAnswer,
  queueAnswer,
  readAnswer,
  type BindingFound,
  type ExchangeFound,
  type PolicyFound,
  type QueueActivity,
  type QueueFound,
  type QueueStats,
} from './found.ts';
import type { TlsOptions } from '../tls.ts';
import {
  permissionAnswer,
  topicPermissionAnswer,
  userAnswer,
  userBody,
  userConnectionsAnswer,
  type Permission,
  type PermissionFound,
  type TopicPermission,
  type TopicPermissionFound,
  type UserFound,
} from './users.ts';
import type { TopologyWriter } from '../topology-writer.ts';
import type { TokenBucket } from './token-bucket.ts';
import { ManagementHttp, path, type CallOptions, type RequestObserver } from './http.ts';
import { NAMES_AT_ONCE, pageAnswer, patternsOf } from './patterns.ts';

export interface ManagementOptions {
  /** `http(s)://user:password@host:port`. */
  url: string;
  vhost: string;
  /** Limit for one call with all its tries, in milliseconds; 10,000. */
  timeoutMs?: number;
  /** Calls at a time; 16. */
  maxParallel?: number;
  /** Tries of one call after connection errors, 429, 5xx and answers that are not RabbitMQ's; 4. */
  maxTries?: number;
  /** Each try takes from it, which limits the requests a second; no limit. */
  bucket?: TokenBucket | undefined;
  tls?: TlsOptions;
  observer?: RequestObserver | undefined;
}

export interface Found {
  exchanges: ExchangeFound[];
  queues: QueueFound[];
  bindings: BindingFound[];
  policies: PolicyFound[];
  /** Set by administrators: what they say wins over, or limits, what the other policies say. */
  operatorPolicies: PolicyFound[];
}

export interface Overview {
  /** Of the broker, such as "4.3.6". */
  version: string;
  clusterName: string;
  /** Those that plugins bring too. Undefined where the broker does not tell. */
  exchangeTypes?: string[];
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

export interface ManagementClient extends TopologyWriter, AsyncDisposable {
  overview(options?: Signal): Promise<Overview>;
  /** Everything in the virtual host, but the bindings of the default exchange: every queue has one, by its name alone. */
  inventory(options?: Signal): Promise<Found>;
  /**
   * Counts of every queue, of the broker's last tick (RabbitMQ counts quorum queues every 5 s); consumers are of now. Given
   * the queues that inventory() has just read, they are not read once more.
   */
  queueStats(options?: Signal & { queues?: readonly QueueFound[] }): Promise<Map<string, QueueStats>>;
  /**
   * What these queues hold and have done, by the broker's statistics of its last tick (5 s). Those that are not there are
   * missing. Costs a call with statistics for 500 of them: for the few queues that need it.
   */
  queueActivity(names: readonly string[], options?: Signal): Promise<Map<string, QueueActivity>>;
  /** One queue, or undefined when there is none. */
  queue(name: string, options?: Signal): Promise<QueueFound | undefined>;
  /** As inventory() has them; none for a queue that is not there. */
  bindingsOf(queue: string, options?: Signal): Promise<BindingFound[]>;
  /** Alarms in force in the cluster; none means that publishing works. */
  alarms(options?: Signal): Promise<Alarm[]>;

  /**
   * The virtual host whose exchange `amq.rabbitmq.event` tells of every change (plug-in rabbitmq_event_exchange): this one,
   * or `/`. Undefined when there is none that this user may see.
   */
  eventExchangeAt(options?: Signal): Promise<string | undefined>;

  putPolicy(policy: Policy, options?: Signal): Promise<void>;
  deletePolicy(name: string, options?: Signal): Promise<void>;

  /** All users of the broker. Only an administrator may ask, here and in the next eight; else WARREN_BROKER_UNAUTHORIZED. */
  users(options?: Signal): Promise<UserFound[]>;
  /** Of every user in this virtual host. */
  permissions(options?: Signal): Promise<PermissionFound[]>;
  putUser(
    user: { name: string; passwordHash: string; tags: readonly string[] },
    options?: Signal,
  ): Promise<void>;
  putPermission(user: string, permission: Permission, options?: Signal): Promise<void>;
  /** Of every user in this virtual host. */
  topicPermissions(options?: Signal): Promise<TopicPermissionFound[]>;
  /** Replaces that of the same exchange. */
  putTopicPermission(user: string, permission: TopicPermission, options?: Signal): Promise<void>;
  /** All of a user in this virtual host: then it may use every key. */
  deleteTopicPermissions(user: string, options?: Signal): Promise<void>;
  /** Its connections end with it. */
  deleteUser(name: string, options?: Signal): Promise<void>;
  /** How many connections a user has, in any virtual host. */
  connectionsOf(user: string, options?: Signal): Promise<number>;

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

/** How many queues are asked one by one for the age of their first message. */
const MOST_HEADS = 50;

const ACTIVITY =
  'name,messages,messages_ready,messages_unacknowledged,consumers,' +
  'message_stats.ack,message_stats.redeliver,message_stats.publish';

const overviewAnswer = z.object({
  rabbitmq_version: z.string(),
  cluster_name: z.string().default(''),
  exchange_types: z.array(z.object({ name: z.string() })).optional(),
});
const consumersAnswer = z.array(z.object({ queue: z.object({ name: z.string() }) }));
const alarmsAnswer = z.object({
  alarms: z.array(z.object({ node: z.string().default(''), resource: z.string().default('unknown') })).min(1),
});
const connectionsAnswer = z.array(
  z.object({
    name: z.string(),
    vhost: z.string().optional(),
    client_properties: z.object({ connection_name: z.string().optional() }).optional(),
  }),
);

const countingAnswer = z.object({ disable_stats: z.boolean() });

class VhostClient implements ManagementClient {
  readonly #http: ManagementHttp;
  readonly #vhost: string;

  constructor(options: ManagementOptions) {
    const { url, timeoutMs = 10_000, maxParallel = 16, maxTries = 4, bucket, tls, observer } = options;
    this.#http = new ManagementHttp({
      url,
      timeoutMs,
      maxParallel,
      maxTries,
      bucket,
      tls,
      observer,
    });
    this.#vhost = options.vhost;
  }

  async overview(options: Signal = {}): Promise<Overview> {
    const answer = await this.#get(overviewAnswer, path('overview'), {
      query: { disable_stats: 'true' },
      ...options,
    });
    const types = answer.exchange_types?.map(({ name }) => name);
    return {
      version: answer.rabbitmq_version,
      clusterName: answer.cluster_name,
      ...(types === undefined ? {} : { exchangeTypes: types }),
    };
  }

  async inventory(options: Signal = {}): Promise<Found> {
    const [exchanges, queues, bindings, policies, operatorPolicies] = await Promise.all([
      this.#list(exchangeAnswer, path('exchanges', this.#vhost), options),
      this.#queues(options),
      this.#bindings(path('bindings', this.#vhost), options),
      this.#get(z.array(policyAnswer), path('policies', this.#vhost), options),
      this.#get(z.array(policyAnswer), path('operator-policies', this.#vhost), options),
    ]);
    return { exchanges, queues, bindings, policies, operatorPolicies };
  }

  async queueStats({ queues: known, ...options }: Signal & { queues?: readonly QueueFound[] } = {}): Promise<
    Map<string, QueueStats>
  > {
    const [queues, consumers] = await Promise.all([
      known ?? this.#queues(options),
      this.#get(consumersAnswer, path('consumers', this.#vhost), options),
    ]);
    const oldest = await this.#oldestOf(queues, options);
    const consumersOf = new Map<string, number>();
    for (const { queue } of consumers) consumersOf.set(queue.name, (consumersOf.get(queue.name) ?? 0) + 1);
    return new Map(
      queues.map(({ name, messages, ready, unacked, state }) => {
        const known = messages !== undefined && ready !== undefined && unacked !== undefined;
        const delayed = known ? Math.max(0, messages - ready - unacked) : undefined;
        const counts = { messages, ready, unacked, delayed, consumers: consumersOf.get(name) ?? 0, state };
        return [name, { ...counts, oldest: oldest.get(name) }];
      }),
    );
  }

  /** Only classic queues know, and only one by one: so of a few, and of none that is empty. */
  async #oldestOf(queues: readonly QueueFound[], options: Signal): Promise<Map<string, number>> {
    const waiting = queues.filter(({ type, ready = 0 }) => type === 'classic' && ready > 0);
    const known = await Promise.all(
      waiting.slice(0, MOST_HEADS).map(async ({ name }): Promise<[string, number][]> => {
        const where = path('queues', this.#vhost, name);
        const query = { columns: 'head_message_timestamp' };
        const { status, body } = await this.#http.call('GET', where, { accept: [404], query, ...options });
        const head = status === 404 ? undefined : readAnswer(headAnswer, body, `GET ${where}`);
        return head === undefined ? [] : [[name, head]];
      }),
    );
    return new Map(known.flat());
  }

  async queueActivity(names: readonly string[], options: Signal = {}): Promise<Map<string, QueueActivity>> {
    const query = { columns: 'disable_stats' };
    const [{ disable_stats: isBlind }, ...pages] = await Promise.all([
      this.#get(countingAnswer, path('overview'), { query, ...options }),
      ...patternsOf(names).map((pattern) =>
        this.#get(pageAnswer, path('queues', this.#vhost), {
          query: { page: 1, page_size: NAMES_AT_ONCE, use_regex: 'true', name: pattern, columns: ACTIVITY },
          ...options,
        }),
      ),
    ]);
    const found = pages.flatMap(({ items }) => readAnswer(z.array(activityAnswer), items, 'GET queues'));
    return new Map(found.map(({ name, ...activity }) => [name, isBlind ? activity : fromZero(activity)]));
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
    // A 503 without any is of somebody who stands between.
    return readAnswer(alarmsAnswer, body, `GET ${where}`).alarms;
  }

  async eventExchangeAt(options: Signal = {}): Promise<string | undefined> {
    for (const vhost of new Set([this.#vhost, '/'])) {
      const where = path('exchanges', vhost, 'amq.rabbitmq.event');
      const { status } = await this.#http.call('GET', where, { accept: [401, 403, 404], ...options });
      if (status === 200) return vhost;
    }
    return undefined;
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

  users(options: Signal = {}): Promise<UserFound[]> {
    return this.#get(z.array(userAnswer), path('users'), options);
  }

  permissions(options: Signal = {}): Promise<PermissionFound[]> {
    return this.#get(z.array(permissionAnswer), path('vhosts', this.#vhost, 'permissions'), options);
  }

  async putUser(
    { name, ...user }: { name: string; passwordHash: string; tags: readonly string[] },
    options: Signal = {},
  ): Promise<void> {
    await this.#http.call('PUT', path('users', name), { body: userBody(user), ...options });
  }

  async putPermission(user: string, permission: Permission, options: Signal = {}): Promise<void> {
    const { configure, write, read } = permission;
    await this.#http.call('PUT', path('permissions', this.#vhost, user), {
      body: { configure, write, read },
      ...options,
    });
  }

  topicPermissions(options: Signal = {}): Promise<TopicPermissionFound[]> {
    const where = path('vhosts', this.#vhost, 'topic-permissions');
    return this.#get(z.array(topicPermissionAnswer), where, options);
  }

  async putTopicPermission(
    user: string,
    { exchange, write, read }: TopicPermission,
    options: Signal = {},
  ): Promise<void> {
    await this.#http.call('PUT', path('topic-permissions', this.#vhost, user), {
      body: { exchange, write, read },
      ...options,
    });
  }

  async deleteTopicPermissions(user: string, options: Signal = {}): Promise<void> {
    await this.#delete(path('topic-permissions', this.#vhost, user), options);
  }

  async deleteUser(name: string, options: Signal = {}): Promise<void> {
    await this.#delete(path('users', name), options);
  }

  async connectionsOf(user: string, options: Signal = {}): Promise<number> {
    const where = path('connections', 'username', user);
    return (await this.#get(userConnectionsAnswer, where, options)).length;
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
    return this.#list(queueAnswer, path('queues', this.#vhost), options, { enable_queue_totals: 'true' });
  }

  /** In one answer: for every page the broker would go through all of them once more (docs/adr/0028). */
  #list<T>(
    schema: z.ZodType<T>,
    where: string,
    options: Signal,
    query: Record<string, string> = {},
  ): Promise<T[]> {
    return this.#get(z.array(schema), where, { query: { disable_stats: 'true', ...query }, ...options });
  }

  async #get<T>(schema: z.ZodType<T>, where: string, options: CallOptions): Promise<T> {
    const { body } = await this.#http.call('GET', where, options);
    return readAnswer(schema, body, `GET ${where}`);
  }

  async #delete(where: string, options: CallOptions): Promise<void> {
    await this.#http.call('DELETE', where, { ...options, accept: [404] });
  }
}

/** Where the broker counts, a queue that is empty and not counted has done nothing yet. */
function fromZero(activity: QueueActivity): QueueActivity {
  const { ready, unacked, delayed, acked } = activity;
  if (acked !== undefined || ready !== 0 || unacked !== 0 || delayed !== 0) return activity;
  return { ...activity, acked: 0, redelivered: 0, published: 0 };
}
