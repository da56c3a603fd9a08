/**
 * The brokers that the operator may manage, one connection each, made from an EventBroker and its Secret.
 *
 * A broker is `up` or it is not, and why. While it is not up nobody else calls it: subscriptions wait, the EventBroker's own
 * reconcile asks it again with one growing pause, and when it answers every subscription that waits is told once.
 */
import { randomInt } from 'node:crypto';
import type { Log, Result } from '@warren/controller';
import type { BrokerCapabilities, Inventory, Membership } from '@warren/topology';
import { conditionOf, conditionsAfter } from '../conditions.ts';
import type { Said } from '../conditions.ts';
import { BrokerSecretError } from '../errors.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { allows } from '../resources.ts';
import type { BrokerResource, BrokerStatus } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import type { BrokerClient, ConnectBroker } from './client.ts';
import { BrokerConnection } from './connection.ts';
import { accessOf } from './secret.ts';
import type { BrokerAccess } from './secret.ts';

export type BrokerState =
  | { state: 'up'; connection: BrokerConnection }
  /** There is no such EventBroker. `last`: how to reach what it was, for the deletions that are not finished. */
  | { state: 'missing'; message: string; last?: BrokerConnection }
  /** It exists and does not answer, or its Secret is of no use. */
  | { state: 'down'; reason: string; message: string }
  /** Not asked yet: the answer is on its way. */
  | { state: 'unknown' };

interface Entry {
  access?: BrokerAccess;
  client?: BrokerClient;
  connection?: BrokerConnection;
  down?: { reason: string; message: string };
  probing?: Promise<void>;
  /** Its EventBroker is gone since then: milliseconds of `performance.now()`. */
  goneAt?: number;
  failures: number;
}

export interface RegistryOptions {
  source: ResourceSource;
  connect: ConnectBroker;
  capabilitiesOf: (version: string) => BrokerCapabilities;
  metrics: OperatorMetrics;
  log: Log;
  /** How often a broker that is up is asked whether it still is: milliseconds. */
  probeMs?: number;
  /** The pause after the first failure, and the longest: milliseconds. */
  pauseMs?: { first: number; longest: number };
  /** How long a broker whose EventBroker is gone may be used by deletions that need it: milliseconds. */
  keepMs?: number;
}

export class BrokerRegistry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners: ((broker: string) => void)[] = [];
  /** Set by the operator: asks for an EventBroker to be reconciled now. */
  askAgain: (broker: string) => void = () => undefined;
  /** Set by the operator: compares everything on a broker that is up with what is wanted. */
  survey: (connection: BrokerConnection) => Promise<void> = () => Promise.resolve();
  /** Set by the operator: which memberships in policies will be asked for. */
  foreseen: (
    broker: { name: string; capabilities: BrokerCapabilities },
    found: Inventory,
  ) => readonly Membership[] = () => [];
  /** Set by the operator: whether a subscription has objects on a broker. */
  isNeeded: (broker: string) => boolean = () => false;

  readonly #probeMs: number;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#probeMs = options.probeMs ?? 15_000;
  }

  /** Calls back when a broker comes up, goes down, gets other credentials, or goes away. */
  onChange(listener: (broker: string) => void): void {
    this.#listeners.push(listener);
  }

  stateOf(broker: string): BrokerState {
    const resource = this.#options.source.brokers.get(broker);
    const { connection, down, goneAt } = this.#entries.get(broker) ?? {};
    if (resource === undefined) {
      const message = `there is no EventBroker named "${broker}"`;
      const usable = goneAt !== undefined && connection !== undefined && down === undefined;
      return { state: 'missing', message, ...(usable ? { last: connection } : {}) };
    }
    if (!this.#isOurs(resource))
      return { state: 'down', reason: 'BrokerNotAllowed', message: 'it does not allow this namespace' };
    if (goneAt !== undefined) return { state: 'unknown' };
    if (down === undefined)
      return connection === undefined ? { state: 'unknown' } : { state: 'up', connection };
    return { state: 'down', ...down };
  }

  /**
   * A call to the broker failed in a way that may concern the broker and not only what was asked of it: asks the broker itself,
   * once for all who want to know. True when it is up after all.
   */
  async verify(broker: string): Promise<boolean> {
    const resource = this.#options.source.brokers.get(broker);
    const entry = this.#entries.get(broker);
    if (resource === undefined || entry === undefined) return false;
    if (entry.down !== undefined) return false;
    await this.#probe(resource, entry);
    return this.stateOf(broker).state === 'up';
  }

  /** The reconcile of an EventBroker. Where it is up, everything on it is compared with what is wanted. */
  async reconcile(name: string): Promise<Result> {
    const resource = this.#options.source.brokers.get(name);
    if (resource === undefined) return this.#leave(name);
    if (!this.#isOurs(resource)) {
      await this.#forget(name);
      return {};
    }
    const entry = this.#entries.get(name) ?? { failures: 0 };
    this.#entries.set(name, entry);
    await this.#probe(resource, entry);
    const { connection, down } = entry;
    if (connection !== undefined && down === undefined) await this.survey(connection);
    return { requeueAfterMs: this.#pause(entry) };
  }

  /** A broker that no subscription we see may use is another operator's: we may lack the right to its Secret. */
  #isOurs(resource: BrokerResource): boolean {
    const { namespace } = this.#options.source;
    return namespace === undefined || allows(resource, namespace);
  }

  #probe(resource: BrokerResource, entry: Entry): Promise<void> {
    entry.probing ??= this.#ask(resource, entry).finally(() => {
      delete entry.probing;
    });
    return entry.probing;
  }

  async #ask(resource: BrokerResource, entry: Entry): Promise<void> {
    const { name } = resource.metadata;
    // One that was gone and is back is new to everybody.
    const before = entry.down === undefined && entry.goneAt === undefined ? entry.connection : undefined;
    delete entry.goneAt;
    const wasDown = entry.down !== undefined;
    try {
      await this.#connect(name, resource, entry);
      delete entry.down;
      entry.failures = 0;
    } catch (error) {
      entry.down = whyDown(error);
      entry.failures += 1;
      // Who knows what it is like when it comes back.
      entry.connection?.doubt();
      this.#options.log.debug({ broker: name, reason: entry.down.reason }, entry.down.message);
    }
    const after = entry.down === undefined ? entry.connection : undefined;
    this.#options.metrics.brokerUp(name, after !== undefined);
    if (before !== after || wasDown !== (entry.down !== undefined)) {
      this.askAgain(name);
      for (const listener of this.#listeners) listener(name);
    }
    await this.#tell(resource, entry);
  }

  async #connect(name: string, resource: BrokerResource, entry: Entry): Promise<void> {
    const { source, connect, capabilitiesOf, metrics } = this.#options;
    const { secretRef } = resource.spec;
    const where = `${secretRef.namespace}/${secretRef.name}`;
    const access = accessOf(where, await source.readSecret(secretRef));
    if (entry.access?.fingerprint !== access.fingerprint) {
      await entry.client?.close();
      entry.access = access;
      entry.client = connect({ url: access.managementUrl, vhost: access.vhost });
      delete entry.connection;
    }
    const client = entry.client;
    if (client === undefined) throw new TypeError('a broker without a client');
    const { version } = await client.overview();
    if (entry.connection?.version !== version)
      entry.connection = new BrokerConnection({
        name,
        uri: access.uri,
        version,
        capabilities: capabilitiesOf(version),
        client,
        metrics,
        foreseen: (found) => this.foreseen({ name, capabilities: capabilitiesOf(version) }, found),
      });
    // The whole virtual host and not a sign of life: it may be missing, and what is read serves the subscriptions.
    await entry.connection.inventory({ maxAgeMs: this.#probeMs / 2 });
  }

  #pause({ down, failures }: Entry): number {
    const { pauseMs = { first: 1_000, longest: 30_000 } } = this.#options;
    if (down === undefined) return this.#probeMs;
    const pause = Math.min(pauseMs.first * 2 ** Math.min(failures - 1, 10), pauseMs.longest);
    return pause / 2 + randomInt(Math.max(1, Math.floor(pause / 2)));
  }

  /** One condition and one event for a change, however often it is seen. */
  async #tell(resource: BrokerResource, { connection, down }: Entry): Promise<void> {
    const { source } = this.#options;
    const { generation } = resource.metadata;
    const said: Said[] =
      down === undefined
        ? [
            { type: 'Reachable', status: 'True', reason: 'Answers', message: 'the management API answers' },
            {
              type: 'Ready',
              status: 'True',
              reason: 'Ready',
              message: `RabbitMQ ${connection?.version ?? ''}: ${retryWords(connection?.capabilities)}`,
            },
          ]
        : [
            { type: 'Reachable', status: 'False', ...down },
            { type: 'Ready', status: 'False', ...down },
          ];
    const status: BrokerStatus = {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...(connection === undefined
        ? resource.status?.version === undefined
          ? {}
          : { version: resource.status.version }
        : { version: connection.version }),
      conditions: conditionsAfter(resource.status?.conditions, said, generation, new Date().toISOString()),
    };
    const old = conditionOf(resource.status?.conditions, 'Ready');
    await source.writeBrokerStatus(resource, status);
    const now = conditionOf(status.conditions, 'Ready');
    if (now === undefined || (old?.status === now.status && old.reason === now.reason)) return;
    const { metadata } = resource;
    const fields = { broker: metadata.name, reason: now.reason };
    if (now.status === 'True') this.#options.log.info(fields, `the broker is ready: ${now.message}`);
    else this.#options.log.warn(fields, `the broker is not available: ${now.message}`);
    source.tell(resource, {
      type: now.status === 'True' ? 'Normal' : 'Warning',
      reason: now.reason,
      action: 'Connect',
      message: now.message,
    });
  }

  /**
   * An EventBroker is gone. Who deletes it together with its subscriptions wants their queues deleted too, so they may use
   * it for a while.
   */
  async #leave(name: string): Promise<Result> {
    const { keepMs = 0 } = this.#options;
    const entry = this.#entries.get(name);
    const goneAt = entry?.goneAt ?? performance.now();
    const isUsable = entry?.connection !== undefined && entry.down === undefined;
    if (!isUsable || !this.isNeeded(name) || performance.now() - goneAt >= keepMs) {
      await this.#forget(name);
      return {};
    }
    if (entry.goneAt === undefined) {
      entry.goneAt = goneAt;
      this.#options.metrics.brokerGone(name);
      for (const listener of this.#listeners) listener(name);
    }
    return { requeueAfterMs: Math.max(100, Math.min(this.#probeMs, goneAt + keepMs - performance.now())) };
  }

  async #forget(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    this.#options.metrics.brokerGone(name);
    await entry?.client?.close();
    for (const listener of this.#listeners) listener(name);
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.flatMap(({ client }) => (client === undefined ? [] : [client.close()])));
  }
}

function retryWords(capabilities: BrokerCapabilities | undefined): string {
  return capabilities?.delayedRetry === true
    ? 'retries are delayed by the broker itself'
    : 'retries go through wait queues';
}

const REASONS: Record<string, string> = {
  WARREN_BROKER_SECRET: 'SecretInvalid',
  WARREN_BROKER_UNREACHABLE: 'Unreachable',
  WARREN_BROKER_UNAUTHORIZED: 'Unauthorized',
  WARREN_BROKER_FORBIDDEN: 'Forbidden',
  WARREN_BROKER_NOT_FOUND: 'VirtualHostNotFound',
  WARREN_BROKER_FAILED: 'Failing',
};

function whyDown(error: unknown): { reason: string; message: string } {
  const code = (error as { code?: unknown } | null)?.code;
  const reason = typeof code === 'string' ? REASONS[code] : undefined;
  if (error instanceof BrokerSecretError) return { reason: 'SecretInvalid', message: error.message };
  return {
    reason: reason ?? 'Unreachable',
    message: error instanceof Error ? error.message : String(error),
  };
}

/** Whether an error means that the broker, and not one request, is the trouble. */
export function concernsBroker(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'WARREN_BROKER_UNREACHABLE' || code === 'WARREN_BROKER_UNAUTHORIZED';
}
