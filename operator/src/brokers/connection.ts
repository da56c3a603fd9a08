/**
 * One virtual host that the operator manages, as long as its credentials and its version stay the same.
 *
 * Reading: one bulk read serves everybody who can live with its age; those who cannot share the next one.
 * Writing: queues and bindings one by one; policies together, because many queues share them and each policy that is put is
 * matched with every queue of the virtual host. What many subscriptions need is begun in bursts.
 */
import { labelsOf, membersOf, policyPlan } from '@warren/topology';
import type {
  BrokerCapabilities,
  Inventory,
  Membership,
  ObjectStep,
  PolicyStep,
  Step,
} from '@warren/topology';
import { unlessAborted } from '@warren/controller';
import { Places } from '@warren/rabbitmq';
import type { ConnectOptions, QueueActivity, QueueStats } from '@warren/rabbitmq';
import type { OperatorMetrics } from '../metrics.ts';
import { Batcher } from './batcher.ts';
import { Bursts } from './bursts.ts';
import { writtenBy } from './broker-events.ts';
import type { BrokerClient } from './client.ts';
import { Mirror } from './mirror.ts';
import { QueueCounts } from './queue-counts.ts';
import type { Reading } from './mirror.ts';
import type { BrokerAccess } from './secret.ts';
import { BrokerUsers } from '../users/broker-users.ts';
import type { CredentialsPolicy } from '../users/broker-users.ts';

export interface BrokerConnectionOptions {
  /** The EventBroker's. */
  name: string;
  access: Pick<BrokerAccess, 'uri' | 'tls' | 'consumerTls' | 'vhost'>;
  /** Whose user consumers connect as. */
  credentials: CredentialsPolicy;
  version: string;
  capabilities: BrokerCapabilities;
  client: BrokerClient;
  metrics: OperatorMetrics;
  /** What policies should hold besides what is asked for, because somebody is about to ask for it. */
  foreseen: (found: Inventory) => readonly Membership[];
}

/** A reading begins so long after the first who asks for it, so that others may join: milliseconds. */
const GATHER_READS_MS = 5;
const GATHER_POLICIES_MS = 50;
const BURST = { most: 48, quietMs: 50, longestMs: 500 };
/** A broker with very many queues is not to do nothing but list them: so many times what that took it is left alone. */
const REST = { times: 4, mostMs: 20_000 };
/** Fewer than there are workers: an edit would be behind all of them, and a broker with a rate limit takes its time. */
const REPAIRS_AT_ONCE = 16;

export class BrokerConnection {
  readonly name: string;
  /** `amqp://user:password@host:port/vhost`, for bindings: a secret. */
  readonly uri: string;
  readonly tls: BrokerAccess['tls'];
  /** For bindings: a secret too. */
  readonly consumerTls: BrokerAccess['consumerTls'];
  readonly version: string;
  readonly capabilities: BrokerCapabilities;
  /** The consumers' own users. */
  readonly users: BrokerUsers;
  readonly #client: BrokerClient;
  readonly #metrics: OperatorMetrics;
  readonly #foreseen: (found: Inventory) => readonly Membership[];
  readonly #mirror = new Mirror();
  readonly #reads: Batcher<'all', Reading>;
  readonly #policies: Batcher<readonly Membership[], 'written'>;
  readonly #bursts = new Bursts(BURST);
  readonly #repairs = new Places(REPAIRS_AT_ONCE);
  /** How many writes to an object are under way. */
  readonly #writing = new Map<string, number>();
  /** Exchanges are everybody's: who comes while one is being made waits for it. */
  readonly #declaring = new Map<string, Promise<void>>();
  readonly #counts = new QueueCounts();

  constructor(options: BrokerConnectionOptions) {
    const { name, access, version, capabilities, client, metrics, foreseen } = options;
    this.name = name;
    this.uri = access.uri;
    this.tls = access.tls;
    this.consumerTls = access.consumerTls;
    this.version = version;
    this.capabilities = capabilities;
    this.users = new BrokerUsers({
      broker: name,
      vhost: access.vhost,
      policy: options.credentials,
      client,
    });
    this.#client = client;
    this.#metrics = metrics;
    this.#foreseen = foreseen;
    this.#reads = new Batcher(async () => new Map([['all', await this.#read()]]), GATHER_READS_MS);
    this.#policies = new Batcher(async (joined, signal) => {
      await this.#writePolicies([...joined].flat(), signal);
      return new Map([...joined].map((memberships) => [memberships, 'written']));
    }, GATHER_POLICIES_MS);
  }

  /** Consumers get the client certificate that we have ourselves. */
  get sharesCertificate(): boolean {
    return this.tls?.key !== undefined && this.tls.key === this.consumerTls?.key;
  }

  /** For a connection of ours by AMQP. */
  get amqp(): Pick<ConnectOptions, 'url' | 'tls'> {
    return { url: this.uri, ...(this.tls === undefined ? {} : { tls: this.tls }) };
  }

  /**
   * What is on the virtual host: read at most so many milliseconds ago, or `restMs` where that is longer (0: begun now), with
   * our own writes since. The signal ends the wait; a reading that has begun goes on, for whoever comes next.
   */
  async inventory({ maxAgeMs, signal }: { maxAgeMs: number; signal?: AbortSignal }): Promise<Reading> {
    const { reading } = this.#mirror;
    const enoughMs = maxAgeMs === 0 ? 0 : Math.max(maxAgeMs, this.restMs);
    if (reading !== undefined && performance.now() - reading.readAt < enoughMs) return reading;
    return this.#reads.join('all', signal);
  }

  /** How long the broker is left alone after a reading where nobody is in doubt, by what the last one took: milliseconds. */
  get restMs(): number {
    return Math.min(REST.times * (this.#mirror.reading?.tookMs ?? 0), REST.mostMs);
  }

  /** One that began after this one: what was changed while this one was read may be half of it here, and is whole there. */
  async inventoryAfter({ readAt }: Pick<Reading, 'readAt'>, signal: AbortSignal): Promise<Reading> {
    const { reading } = this.#mirror;
    if (reading !== undefined && reading.readAt > readAt) return reading;
    return this.#reads.join('all', signal);
  }

  /**
   * The same for somebody new: whether these queues are there is known as of `surelyMs` ago. They are asked for one by one: a
   * thousand who come one after the other would have the whole virtual host read over and over.
   */
  async inventoryFor(
    queues: readonly string[],
    { surelyMs, signal }: { surelyMs: number; signal: AbortSignal },
  ): Promise<Reading> {
    const reading = await this.inventory({ maxAgeMs: Infinity, signal });
    if (performance.now() - reading.readAt < surelyMs) return reading;
    // Who takes over a queue that was there wants to know how it is bound by now.
    if (queues.some((queue) => reading.found.queues.has(queue)))
      return this.inventory({ maxAgeMs: 0, signal });
    const there = await Promise.all(queues.map((queue) => this.#client.queue(queue, { signal })));
    return there.every((queue) => queue === undefined) ? reading : this.inventory({ maxAgeMs: 0, signal });
  }

  /** The counts of a queue as they were last read. Undefined where they are not known: that is not zero. */
  statsOf(queue: string): QueueStats | undefined {
    return this.#counts.of(queue);
  }

  refreshStats(): Promise<void> {
    return this.#counts.refresh((listed) => this.#client.queueStats(listed));
  }

  /** What these queues hold and have done: asked now. */
  activityOf(queues: readonly string[], signal: AbortSignal): Promise<Map<string, QueueActivity>> {
    return this.#client.queueActivity(queues, { signal });
  }

  /** As it was last read, with our own writes since; undefined when it is to be read anew anyway. */
  get known(): Inventory | undefined {
    return this.#mirror.reading?.found;
  }

  /** Whether a write of ours to one of these objects (broker-events.ts) is under way. */
  isWriting(objects: readonly string[]): boolean {
    return objects.some((object) => this.#writing.has(object));
  }

  /** What is known is doubtful: the next one to ask reads anew. */
  doubt(): void {
    this.#mirror.doubt();
  }

  /** The steps that one subscription needs, begun with those of others; none of them once the signal has aborted. */
  together<Result>(steps: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    return this.#bursts.join(steps, signal);
  }

  /** The same of one that was changed by hand: nobody waits for it. */
  repairing<Result>(steps: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    return this.#repairs.take(steps, signal);
  }

  /**
   * `left`: the queue was to be deleted only if it is empty, and it is not. `shared`: another subscription has made the
   * exchange meanwhile.
   */
  async apply(step: ObjectStep, signal?: AbortSignal): Promise<'done' | 'left' | 'shared'> {
    const client = this.#client;
    const options = signal === undefined ? {} : { signal };
    switch (step.step) {
      case 'declareExchange':
        return this.#declareExchange(step, signal);
      case 'deleteExchange':
        await this.#write(step, () => client.deleteExchange(step.exchange, options));
        break;
      case 'declareQueue':
        await this.#write(step, () => client.declareQueue(step.queue, options));
        this.#counts.wrote(step.queue.name, 'declared');
        break;
      case 'bind':
        await this.#write(step, () => client.bind(step.binding, options));
        break;
      case 'unbind':
        await this.#write(step, () => client.unbind(step.binding, options));
        break;
      case 'deleteQueue': {
        if (step.onlyIfEmpty) {
          const queue = await client.queue(step.queue, options);
          if (queue !== undefined && queue.messages !== 0) return 'left';
        }
        await this.#write(step, () => client.deleteQueue(step.queue, options));
        this.#counts.wrote(step.queue, 'deleted');
        break;
      }
    }
    return 'done';
  }

  /**
   * Makes the policies such that these queues have these settings. Shares its writes with whoever asks at the same time: they
   * go on until nobody wants them any more.
   */
  async settle(memberships: readonly Membership[], signal: AbortSignal): Promise<void> {
    if (memberships.length > 0) await this.#policies.join(memberships, signal);
  }

  /** One that was begun may have others who wait for it: the signal ends the wait. */
  async #declareExchange(
    step: Extract<ObjectStep, { step: 'declareExchange' }>,
    signal: AbortSignal | undefined,
  ): Promise<'done' | 'shared'> {
    signal?.throwIfAborted();
    const { exchange } = step;
    if (this.#mirror.reading?.found.exchanges.has(exchange.name) === true) return 'shared';
    const other = this.#declaring.get(exchange.name);
    if (other !== undefined) {
      await unlessAborted(other, signal);
      return 'shared';
    }
    const declaring = this.#write(step, () => this.#client.declareExchange(exchange)).finally(() =>
      this.#declaring.delete(exchange.name),
    );
    this.#declaring.set(exchange.name, declaring);
    await unlessAborted(declaring, signal);
    return 'done';
  }

  async #read(): Promise<Reading> {
    const began = performance.now();
    const reading = await this.#mirror.refresh(() => this.#counts.list(() => this.#client.inventory()));
    this.#metrics.inventoryRead(this.name, (performance.now() - began) / 1_000);
    return reading;
  }

  async #writePolicies(memberships: readonly Membership[], signal: AbortSignal): Promise<void> {
    const { found } = await this.inventory({ maxAgeMs: Infinity });
    const all = [...this.#foreseen(found), ...memberships];
    for (const step of policyPlan(all, found.policies, (family) => membersOf(family, found))) {
      signal.throwIfAborted();
      await this.#writePolicy(step, signal);
    }
  }

  async #writePolicy(step: PolicyStep, signal: AbortSignal): Promise<void> {
    const client = this.#client;
    if (step.step === 'putPolicy') await this.#write(step, () => client.putPolicy(step.policy, { signal }));
    else await this.#write(step, () => client.deletePolicy(step.policy, { signal }));
  }

  async #write(step: Step, write: () => Promise<void>): Promise<void> {
    const { action, kind } = labelsOf(step);
    const object = writtenBy(step);
    this.#writing.set(object, (this.#writing.get(object) ?? 0) + 1);
    try {
      await write();
    } catch (error) {
      // Whether it took place, or why it could not, only a new reading tells.
      this.#mirror.doubt();
      this.#metrics.stepFailed(this.name, action, kind);
      throw error;
    } finally {
      const others = (this.#writing.get(object) ?? 1) - 1;
      if (others === 0) this.#writing.delete(object);
      else this.#writing.set(object, others);
    }
    this.#mirror.wrote(step);
    this.#metrics.stepApplied(this.name, action, kind);
  }
}
