/**
 * One virtual host that the operator manages, as long as its credentials and its version stay the same.
 *
 * Reading: one bulk read serves everybody who can live with its age; those who cannot share the next one.
 * Writing: queues and bindings one by one; policies together, because many queues share them and each policy that is put is
 * matched with every queue of the virtual host.
 */
import { policyPlan, labelsOf } from '@warren/topology';
import type {
  BrokerCapabilities,
  Inventory,
  Membership,
  ObjectStep,
  PolicyStep,
  Step,
} from '@warren/topology';
import type { QueueStats } from '@warren/rabbitmq';
import type { OperatorMetrics } from '../metrics.ts';
import { Batcher } from './batcher.ts';
import type { BrokerClient } from './client.ts';
import { Mirror } from './mirror.ts';
import type { Reading } from './mirror.ts';

export interface BrokerConnectionOptions {
  /** The EventBroker's. */
  name: string;
  /** `amqp://user:password@host:port/vhost`, for bindings: a secret. */
  uri: string;
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

const EMPTY: QueueStats = { messages: 0, ready: 0, unacked: 0, delayed: 0, consumers: 0, state: undefined };

export class BrokerConnection {
  readonly name: string;
  readonly uri: string;
  readonly version: string;
  readonly capabilities: BrokerCapabilities;
  readonly #client: BrokerClient;
  readonly #metrics: OperatorMetrics;
  readonly #foreseen: (found: Inventory) => readonly Membership[];
  readonly #mirror = new Mirror();
  readonly #reads: Batcher<'all', Reading>;
  readonly #policies: Batcher<readonly Membership[], 'written'>;
  /** Exchanges are everybody's: who comes while one is being made waits for it. */
  readonly #declaring = new Map<string, Promise<void>>();
  #stats = new Map<string, QueueStats>();
  /** Queues that were made since the last counting began. */
  readonly #declared = new Set<string>();

  constructor({ name, uri, version, capabilities, client, metrics, foreseen }: BrokerConnectionOptions) {
    this.name = name;
    this.uri = uri;
    this.version = version;
    this.capabilities = capabilities;
    this.#client = client;
    this.#metrics = metrics;
    this.#foreseen = foreseen;
    this.#reads = new Batcher(async () => new Map([['all', await this.#read()]]), GATHER_READS_MS);
    this.#policies = new Batcher(async (joined) => {
      await this.#writePolicies([...joined].flat());
      return new Map([...joined].map((memberships) => [memberships, 'written']));
    }, GATHER_POLICIES_MS);
  }

  /** What is on the virtual host: read at most so many milliseconds ago, with our own writes since. */
  async inventory({ maxAgeMs }: { maxAgeMs: number }): Promise<Reading> {
    const { reading } = this.#mirror;
    if (reading !== undefined && performance.now() - reading.readAt < maxAgeMs) return reading;
    return this.#reads.join('all');
  }

  /** The counts of a queue as they were last read. Undefined where they are not known: that is not zero. */
  statsOf(queue: string): QueueStats | undefined {
    return this.#stats.get(queue);
  }

  async refreshStats(): Promise<void> {
    this.#declared.clear();
    const stats = await this.#client.queueStats();
    // Made while the others were counted.
    for (const queue of this.#declared) if (!stats.has(queue)) stats.set(queue, EMPTY);
    this.#stats = stats;
  }

  /** What is known is doubtful: the next one to ask reads anew. */
  doubt(): void {
    this.#mirror.doubt();
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
        return this.#declareExchange(step);
      case 'deleteExchange':
        await this.#write(step, () => client.deleteExchange(step.exchange, options));
        break;
      case 'declareQueue':
        await this.#write(step, () => client.declareQueue(step.queue, options));
        this.#declared.add(step.queue.name);
        this.#stats.set(step.queue.name, EMPTY);
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
        this.#declared.delete(step.queue);
        this.#stats.delete(step.queue);
        break;
      }
    }
    return 'done';
  }

  /** Makes the policies such that these queues have these settings. Shares its writes with whoever asks at the same time. */
  async settle(memberships: readonly Membership[]): Promise<void> {
    if (memberships.length > 0) await this.#policies.join(memberships);
  }

  async #declareExchange(step: Extract<ObjectStep, { step: 'declareExchange' }>): Promise<'done' | 'shared'> {
    const { exchange } = step;
    if (this.#mirror.reading?.found.exchanges.has(exchange.name) === true) return 'shared';
    const other = this.#declaring.get(exchange.name);
    if (other !== undefined) {
      await other;
      return 'shared';
    }
    const declaring = this.#write(step, () => this.#client.declareExchange(exchange)).finally(() =>
      this.#declaring.delete(exchange.name),
    );
    this.#declaring.set(exchange.name, declaring);
    await declaring;
    return 'done';
  }

  async #read(): Promise<Reading> {
    const began = performance.now();
    const reading = await this.#mirror.refresh(() => this.#client.inventory());
    this.#metrics.inventoryRead(this.name, (performance.now() - began) / 1_000);
    return reading;
  }

  async #writePolicies(memberships: readonly Membership[]): Promise<void> {
    const { found } = await this.inventory({ maxAgeMs: Infinity });
    const all = [...this.#foreseen(found), ...memberships];
    for (const step of policyPlan(all, found.policies)) await this.#writePolicy(step);
  }

  async #writePolicy(step: PolicyStep): Promise<void> {
    const client = this.#client;
    if (step.step === 'putPolicy') await this.#write(step, () => client.putPolicy(step.policy));
    else await this.#write(step, () => client.deletePolicy(step.policy));
  }

  async #write(step: Step, write: () => Promise<void>): Promise<void> {
    const { action, kind } = labelsOf(step);
    try {
      await write();
    } catch (error) {
      // Whether it took place, or why it could not, only a new reading tells.
      this.#mirror.doubt();
      this.#metrics.stepFailed(this.name, action, kind);
      throw error;
    }
    this.#mirror.wrote(step);
    this.#metrics.stepApplied(this.name, action, kind);
  }
}
