/**
 * The brokers that the operator may manage, one connection each, made from an EventBroker and its Secret.
 *
 * A broker is `up` or it is not, and why. While it is not up nobody else calls it: subscriptions wait, the EventBroker's own
 * reconcile asks it again with one growing pause, and when it answers every subscription that waits is told once.
 */
import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Log, Result } from '@warren/controller';
import { DEFAULT_EXCHANGES } from '@warren/topology';
import type { BrokerCapabilities, Inventory, Membership } from '@warren/topology';
import type { OperatorMetrics } from '../metrics.ts';
import { ADOPT_ANNOTATION, allows } from '../resources.ts';
import type { BrokerResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isReachable, whyDown } from './broker-status.ts';
import { BrokerVoice } from './broker-voice.ts';
import type { ToldBroker } from './broker-voice.ts';
import { claimVirtualHost, refuseTaken, releaseVirtualHost } from './claimer.ts';
import type { BrokerClient, ConnectBroker } from './client.ts';
import { BrokerConnection } from './connection.ts';
import { DriftEvents } from './drift-events.ts';
import { accessOf } from './secret.ts';
import type { BrokerAccess } from './secret.ts';

export type BrokerState =
  | { state: 'up'; connection: BrokerConnection }
  /** There is no such EventBroker. `last`: how to reach what it was, for the deletions that are not finished. */
  | { state: 'missing'; message: string; last?: BrokerConnection }
  /**
   * It exists and does not answer, its Secret is of no use, or it does not allow our namespace. `last`: how it was reached before
   * its Secret went, or how what our namespace has there can be removed.
   */
  | { state: 'down'; reason: string; message: string; last?: BrokerConnection }
  /** Not asked yet: the answer is on its way. */
  | { state: 'unknown' };

interface Entry extends ToldBroker {
  /** Changes with what the client was made of. Says nothing about it. */
  reach?: string;
  client?: BrokerClient;
  /** The connection whose virtual host was read and is this EventBroker's: nobody uses another one. */
  proven?: BrokerConnection;
  probing?: Promise<void>;
  /** Its EventBroker is gone since then: milliseconds of `performance.now()`. */
  goneAt?: number;
  failures: number;
  events?: DriftEvents;
  /** The virtual host has been this EventBroker's in the life of this process. */
  hadClaim: boolean;
}

interface Reached {
  connection: BrokerConnection;
  client: BrokerClient;
  access: BrokerAccess;
}

export interface RegistryOptions {
  source: ResourceSource;
  connect: ConnectBroker;
  capabilitiesOf: (version: string, exchangeTypes?: readonly string[]) => BrokerCapabilities;
  metrics: OperatorMetrics;
  log: Log;
  /** How often a broker that is up is asked whether it still is: milliseconds. */
  probeMs?: number;
  /** The pause after the first failure, and the longest: milliseconds. */
  pauseMs?: { first: number; longest: number };
  /** How long a broker whose EventBroker is gone may be used by deletions that need it: milliseconds. */
  keepMs?: number;
}

const NOT_ALLOWED = { reason: 'BrokerNotAllowed', message: 'it does not allow this namespace' };

export class BrokerRegistry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners: ((broker: string) => void)[] = [];
  /** Set by the operator: asks for an EventBroker to be reconciled now. */
  askAgain: (broker: string) => void = () => undefined;
  /** Set by the operator: compares everything on a broker that is up with what is wanted. */
  survey: (connection: BrokerConnection, signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  /** Set by the operator: takes the users on a broker away from those who may not use it. */
  revoke: (connection: BrokerConnection) => Promise<void> = () => Promise.resolve();
  /** Set by the operator: which memberships in policies will be asked for. */
  foreseen: (
    broker: { name: string; capabilities: BrokerCapabilities },
    found: Inventory,
  ) => readonly Membership[] = () => [];
  /** Set by the operator: whether a subscription has objects on a broker. */
  isNeeded: (broker: string) => boolean = () => false;
  /** Set by the operator: the subscriptions that name a broker, as `namespace/name`. */
  usersOf: (broker: string) => readonly string[] = () => [];
  /** Set by the operator: whether a queue or an exchange belongs to a subscription of a broker. */
  isOurs: (broker: string, object: string) => boolean = () => false;

  readonly #probeMs: number;
  readonly #voice: BrokerVoice;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#probeMs = options.probeMs ?? 15_000;
    this.#voice = new BrokerVoice({ ...options, usersOf: (broker) => this.usersOf(broker) });
  }

  /** Calls back when a broker comes up, goes down, gets other credentials, or goes away. */
  onChange(listener: (broker: string) => void): void {
    this.#listeners.push(listener);
  }

  stateOf(broker: string): BrokerState {
    const resource = this.#options.source.brokers.get(broker);
    const entry = this.#entries.get(broker);
    const { proven, down, goneAt } = entry ?? {};
    const last = proven !== undefined && isReachable(down) ? { last: proven } : {};
    if (resource === undefined) {
      const message = `there is no EventBroker named "${broker}"`;
      return { state: 'missing', message, ...(goneAt === undefined ? {} : last) };
    }
    if (!this.#isOurs(resource)) {
      const isAsked = proven !== undefined || down !== undefined;
      return isAsked ? { state: 'down', ...NOT_ALLOWED, ...last } : { state: 'unknown' };
    }
    if (down !== undefined && goneAt === undefined) return { state: 'down', ...down, ...last };
    const usable = entry === undefined ? undefined : usableOf(entry);
    return usable === undefined ? { state: 'unknown' } : { state: 'up', connection: usable };
  }

  /**
   * A call to the broker failed in a way that may concern the broker and not only what was asked of it: asks the broker itself,
   * once for all who want to know. True when it is up after all.
   */
  async verify(broker: string): Promise<boolean> {
    const resource = this.#options.source.brokers.get(broker);
    const entry = this.#entries.get(broker);
    if (resource === undefined || entry === undefined) return false;
    // One that is under way may have begun before the failure.
    await entry.probing;
    if (entry.down !== undefined) return false;
    const { connection } = entry;
    await this.#probe(resource, entry);
    const isUp = isAnswering(entry);
    // From here on its own reconcile looks after it; one that finds this out itself has no need to be asked.
    if (!isUp || entry.connection !== connection) this.askAgain(broker);
    return isUp;
  }

  /** The reconcile of an EventBroker. Where it is up, everything on it is compared with what is wanted. */
  async reconcile(name: string, signal: AbortSignal): Promise<Result> {
    const resource = this.#options.source.brokers.get(name);
    if (resource === undefined) return this.#leave(name);
    if (!this.#isOurs(resource)) return this.#withdraw(resource);
    const entry = this.#entryOf(resource);
    await this.#probe(resource, entry);
    const usable = usableOf(entry);
    if (usable !== undefined) await this.survey(usable, signal);
    return { requeueAfterMs: this.#pause(entry) };
  }

  /** Reads what a broker that nobody has asked yet has, for its first reconcile: that meets any failure too, and tells of it. */
  async readAhead(name: string): Promise<void> {
    const resource = this.#options.source.brokers.get(name);
    if (resource === undefined || this.#entries.has(name) || !this.#isOurs(resource)) return;
    try {
      const { connection } = await this.#reach(resource, this.#entryOf(resource));
      await connection.inventory({ maxAgeMs: this.#probeMs / 2 });
    } catch (error) {
      this.#options.log.debug({ broker: name, error: String(error) }, 'the broker could not be read ahead');
    }
  }

  #entryOf(resource: BrokerResource): Entry {
    const { name } = resource.metadata;
    const entry: Entry = this.#entries.get(name) ?? {
      failures: 0,
      resource,
      hadClaim: false,
      telling: Promise.resolve(),
    };
    entry.resource = resource;
    this.#entries.set(name, entry);
    return entry;
  }

  /** A broker that no subscription we see may use is another operator's. */
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
    const before = usableOf(entry);
    entry.isBarred = !this.#isOurs(resource);
    delete entry.goneAt;
    const wasDown = entry.down !== undefined;
    try {
      entry.proven = await this.#connect(resource, entry);
      delete entry.down;
      entry.failures = 0;
    } catch (error) {
      entry.down = whyDown(error);
      entry.failures += 1;
      // Who knows what it is like when it comes back.
      entry.connection?.doubt();
      this.#options.log.debug({ broker: name, reason: entry.down.reason }, entry.down.message);
    }
    const after = usableOf(entry);
    if (entry.isBarred) this.#options.metrics.brokerGone(name);
    else this.#options.metrics.brokerUp(name, after !== undefined);
    if (before !== after || wasDown !== (entry.down !== undefined))
      for (const listener of this.#listeners) listener(name);
    await this.#voice.tell(entry);
  }

  /** What its Secret leads to, and what that can do. */
  async #reach(resource: BrokerResource, entry: Entry): Promise<Reached> {
    const { source, connect, capabilitiesOf, metrics } = this.#options;
    const { name } = resource.metadata;
    const { secretRef } = resource.spec;
    const where = `${secretRef.namespace}/${secretRef.name}`;
    const access = accessOf(where, await source.readSecret(secretRef));
    const requestsPerSecond = resource.spec.rateLimit?.requestsPerSecond;
    const reach = `${access.fingerprint} ${requestsPerSecond}`;
    if (entry.reach !== reach) {
      await this.#disconnect(entry);
      entry.reach = reach;
      entry.client = connect({
        url: access.managementUrl,
        uri: access.uri,
        vhost: access.vhost,
        requestsPerSecond,
        observer: ({ method, status }) => metrics.requestMade(name, method, status),
        ...(access.tls === undefined ? {} : { tls: access.tls }),
      });
      delete entry.connection;
    }
    const client = entry.client;
    if (client === undefined) throw new TypeError('a broker without a client');
    const { version, exchangeTypes } = await client.overview();
    const { exchanges = DEFAULT_EXCHANGES } = resource.spec;
    const capabilities = { ...capabilitiesOf(version, exchangeTypes), exchanges };
    const before = entry.connection;
    const { consumerCredentials: credentials = { mode: 'Shared' } } = resource.spec;
    const isSame =
      before?.version === version &&
      isDeepStrictEqual(before.capabilities, capabilities) &&
      isDeepStrictEqual(before.users.policy, credentials);
    const connection = isSame
      ? before
      : new BrokerConnection({
          name,
          access,
          credentials,
          version,
          capabilities,
          client,
          metrics,
          foreseen: (found) => this.foreseen({ name, capabilities }, found),
        });
    entry.connection = connection;
    return { connection, client, access };
  }

  async #connect(resource: BrokerResource, entry: Entry): Promise<BrokerConnection> {
    const { name } = resource.metadata;
    const { connection, client, access } = await this.#reach(resource, entry);
    // The whole virtual host and not a sign of life: it may be missing, and what is read serves the subscriptions.
    const [{ found }, alarms] = await Promise.all([
      connection.inventory({ maxAgeMs: this.#probeMs / 2 }),
      this.#alarms(client),
      connection.users.look(),
    ]);
    if (entry.isBarred === true) {
      await refuseTaken(found, { ...this.#options, resource });
      return connection;
    }
    if (alarms === undefined) delete entry.alarms;
    else entry.alarms = alarms;
    // Who is told anew to take it over may do so anew.
    if (resource.metadata.annotations?.[ADOPT_ANNOTATION] !== 'true') entry.hadClaim = false;
    entry.hadClaim = await claimVirtualHost(connection, found, { ...this.#options, ...entry });
    entry.events ??= this.#driftEvents(name, entry, access, client);
    await entry.events.keep();
    return connection;
  }

  async #disconnect(entry: Entry): Promise<void> {
    const { events, client } = entry;
    delete entry.events;
    delete entry.client;
    delete entry.connection;
    delete entry.proven;
    await Promise.all([events?.close(), client?.close()]);
  }

  /** A broker that does not tell of its alarms is of use all the same. */
  async #alarms(client: BrokerClient): Promise<string[] | undefined> {
    try {
      return (await client.alarms())
        .map(({ node, resource }) => (node === '' ? resource : `${resource} on ${node}`))
        .sort();
    } catch (error) {
      this.#options.log.debug({ error: String(error) }, 'the alarms could not be asked for');
      return undefined;
    }
  }

  #driftEvents(name: string, entry: Entry, access: BrokerAccess, client: BrokerClient): DriftEvents {
    const { log } = this.#options;
    return new DriftEvents({
      amqp: { url: access.uri, ...(access.tls === undefined ? {} : { tls: access.tls }) },
      vhost: access.vhost,
      locate: async () => {
        try {
          return await client.eventExchangeAt();
        } catch {
          return undefined;
        }
      },
      found: () => entry.connection?.known,
      isOurs: (object) => this.isOurs(name, object),
      isWriting: (objects) => entry.connection?.isWriting(objects) === true,
      onNews: () => {
        log.debug({ broker: name }, 'the broker tells of a change');
        entry.connection?.doubt();
        this.askAgain(name);
      },
      onChange: () => {
        this.#voice.tell(entry).catch((error: unknown) => {
          // The next probe writes it.
          log.debug({ broker: name, error: String(error) }, 'the status could not be written');
        });
      },
    });
  }

  #pause({ down, failures, connection }: Entry): number {
    const { pauseMs = { first: 1_000, longest: 30_000 } } = this.#options;
    if (down === undefined) return Math.max(this.#probeMs, connection?.restMs ?? 0);
    const pause = Math.min(pauseMs.first * 2 ** Math.min(failures - 1, 10), pauseMs.longest);
    return pause / 2 + randomInt(Math.max(1, Math.floor(pause / 2)));
  }

  /** Says of a broker that is up what has changed since it was last said, such as the number of its subscriptions. */
  async tell(broker: string): Promise<void> {
    const entry = this.#entries.get(broker);
    // A probe says it at its end, and what it has yet to ask for is not known.
    if (entry === undefined || entry.probing !== undefined) return entry?.probing;
    if (usableOf(entry) !== undefined) await this.#voice.tell(entry);
  }

  /**
   * An EventBroker is gone. Who deletes it together with its subscriptions wants their queues deleted too, so they may use
   * it for a while.
   */
  async #leave(name: string): Promise<Result> {
    const { keepMs = 0 } = this.#options;
    const entry = this.#entries.get(name);
    const goneAt = entry?.goneAt ?? performance.now();
    if (entry !== undefined && entry.goneAt === undefined && entry.isBarred !== true)
      this.#voice.tellOfUsers(entry);
    const isUsable = entry?.proven !== undefined && isReachable(entry.down);
    if (!isUsable || !this.isNeeded(name) || performance.now() - goneAt >= keepMs) {
      if (entry?.proven !== undefined && isUsable && entry.hadClaim)
        await releaseVirtualHost(entry.proven, { ...this.#options, ...entry });
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

  /**
   * It does not allow our namespace: what that has there goes (docs/adr/0024), now and while one of its resources needs the broker,
   * so that no deletion leaves anything. Of the broker itself nothing is said, and nothing is made there: it is another
   * operator's, and we may lack the right to its Secret.
   */
  async #withdraw(resource: BrokerResource): Promise<Result> {
    const { namespace = '' } = this.#options.source;
    const { name } = resource.metadata;
    const isNeeded = this.isNeeded(name);
    const mayHaveUsers = resource.spec.consumerCredentials?.mode === 'PerSubscription';
    if (!isNeeded && !mayHaveUsers && this.#entries.get(name)?.proven === undefined)
      return this.#setAside(resource);
    const entry = this.#entryOf(resource);
    // One that is under way may have begun before the edit.
    await entry.probing;
    await entry.events?.close();
    delete entry.events;
    await this.#probe(resource, entry);
    const { proven, down } = entry;
    if (proven !== undefined && isReachable(down)) await this.revoke(proven);
    if (!isNeeded && !mayHaveAnyOf(namespace, entry)) return this.#setAside(resource);
    if (down !== undefined && entry.failures === 1)
      this.#options.log.warn(
        { broker: name, reason: down.reason },
        `the broker does not allow the namespace ${namespace}, whose users may be left there: ${down.message}`,
      );
    return { requeueAfterMs: this.#pause(entry) };
  }

  /** Nothing of ours is on it. */
  async #setAside(resource: BrokerResource): Promise<Result> {
    await this.#forget(resource.metadata.name);
    const entry = this.#entryOf(resource);
    entry.isBarred = true;
    entry.down = NOT_ALLOWED;
    return {};
  }

  async #forget(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    this.#options.metrics.brokerGone(name);
    if (entry !== undefined) await this.#disconnect(entry);
    for (const listener of this.#listeners) listener(name);
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => this.#disconnect(entry)));
  }
}

/** A user of a namespace is there, or may be. Where not even the Secret could ever be read none of ours was made. */
function mayHaveAnyOf(namespace: string, { proven, down }: Entry): boolean {
  if (proven === undefined) return !isReachable(down);
  return down !== undefined || proven.users.mayHaveAnyOf(namespace);
}

function isAnswering({ down, goneAt }: Entry): boolean {
  return down === undefined && goneAt === undefined;
}

function usableOf(entry: Entry): BrokerConnection | undefined {
  const { isBarred, connection, proven } = entry;
  return isAnswering(entry) && isBarred !== true && connection === proven ? proven : undefined;
}
