/**
 * Gives a service that only publishes what it needs for that: a user of its own, where the EventBroker says so, and a binding.
 *
 *   is its name free ─▶ which broker ─▶ may it ─▶ the exchange ─▶ user ─▶ binding ─▶ status
 *
 * Level, not edge, as for subscriptions: it may be cut off between any two lines, and writes nothing where nothing differs. Its
 * user is made, put right, rotated and removed by the same code (users/).
 */
import type { Log, ReconcileContext, Result } from '@warren/controller';
import { exchangeConflicts, exchangesOf, topicExchange } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker, describeUnavailable } from '../brokers/broker-status.ts';
import type { BrokerRegistry, BrokerState } from '../brokers/registry.ts';
import { tlsEntriesOf } from '../brokers/secret.ts';
import { ConsumerUserError } from '../errors.ts';
import { PAUSED_ANNOTATION, UNMANAGED_ANNOTATION } from '../resources.ts';
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { hasFinalizer, hasOwnNames, isDeleting, newestOf } from '../subscriptions/claims.ts';
import { isPaused, isUnmanaged } from '../subscriptions/hands-off.ts';
import { refusalOf, tellOf } from '../telling.ts';
import { bindingNameOf, handOut } from '../users/handout.ts';
import { revocationStory, revokeUsers } from '../users/revocation.ts';
import type { Revocation } from '../users/revocation.ts';
import { PublisherRemover } from './remover.ts';
import { publisherEntries, publisherOf } from './rights.ts';
import { describeNameTaken, isNameTaken } from './standing.ts';
import { describeReady, isSettled, publisherStatus, storyOfPublisher } from './status.ts';
import type { Conclusion } from './status.ts';

export interface PublisherReconcilerOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  log: Log;
  /** How old a reading of the virtual host may be: milliseconds. */
  maxAgeMs: number;
  /** How long a deletion waits for a broker that does not answer: milliseconds. */
  abandonAfterMs: number;
  /** How often a deletion that waits looks again: milliseconds. */
  lookAgainMs: number;
}

const DOTS = 'a name has no dots: make it anew with a hyphen instead';

type Context = Pick<ReconcileContext, 'signal' | 'failures'>;

export class PublisherReconciler {
  readonly #options: PublisherReconcilerOptions;
  readonly #remover: PublisherRemover;

  constructor(options: PublisherReconcilerOptions) {
    this.#options = options;
    this.#remover = new PublisherRemover({
      ...options,
      conclude: (resource, conclusion) => this.#conclude(resource, conclusion),
    });
  }

  /** @param key `namespace/name` */
  async reconcile(key: string, context: Context): Promise<Result> {
    const { source, registry } = this.#options;
    const resource = source.publishers.get(key);
    if (resource === undefined) {
      this.#remover.forget(key);
      return {};
    }
    const broker = resource.spec.brokerRef.name;
    try {
      if (await this.#standAside(resource)) {
        await this.#tellOfRevocation(resource, registry.stateOf(broker), context);
        return {};
      }
      if (isDeleting(resource)) return await this.#remover.remove(resource, context);
      return await this.#reconcile(resource, registry.stateOf(broker), context);
    } catch (error) {
      context.signal.throwIfAborted();
      const now = source.publishers.get(key);
      const isDown = concernsBroker(error) && !(await registry.verify(broker));
      if (now !== undefined && isDeleting(now)) {
        if (isDown) return await this.#remover.remove(now, context);
        const held = await this.#remover.refused(now, error, context);
        if (held !== undefined) return held;
        throw error;
      }
      if (isDown) {
        // Asked again when it is back.
        await this.#wait(now, registry.stateOf(broker));
        return {};
      }
      await this.#fail(now, error);
      if (error instanceof ConsumerUserError) return {};
      throw error;
    }
  }

  async #reconcile(resource: PublisherResource, broker: BrokerState, context: Context): Promise<Result> {
    const { source } = this.#options;
    if (!hasOwnNames(resource)) return this.#refuse(resource, 'NameNotAllowed', DOTS);
    if (isNameTaken(resource, source))
      return this.#refuse(resource, 'NameTaken', describeNameTaken(resource), { isBound: false });
    const revoked = await this.#revokeUsers(resource, broker, context);
    if (revoked !== undefined) return this.#refuse(resource, 'BrokerNotAllowed', revoked.message);
    switch (broker.state) {
      case 'unknown':
        return {};
      case 'missing':
        return this.#refuse(resource, 'BrokerNotFound', broker.message);
      case 'down':
        await this.#wait(resource, broker);
        return {};
      case 'up':
        await this.#sync(resource, broker.connection, context);
        return {};
    }
  }

  #revokeUsers(
    resource: PublisherResource,
    broker: BrokerState,
    { signal }: Context,
  ): Promise<Revocation | undefined> {
    const { source } = this.#options;
    const ownerOn = (connection: BrokerConnection) => publisherOf(resource, connection);
    return revokeUsers(resource, broker, ownerOn, { source, signal });
  }

  /** The status of what the operator keeps its hands off stays as it is. */
  async #tellOfRevocation(resource: PublisherResource, broker: BrokerState, context: Context): Promise<void> {
    if (isDeleting(resource)) return;
    const revoked = await this.#revokeUsers(resource, broker, context);
    if (revoked?.isNew === true) tellOf(resource, revocationStory(revoked), this.#options);
  }

  async #sync(first: PublisherResource, connection: BrokerConnection, { signal }: Context): Promise<void> {
    const { source, maxAgeMs } = this.#options;
    const { capabilities } = connection;
    const { events } = exchangesOf(capabilities);
    const { found } = await connection.inventory({ maxAgeMs, signal });
    const conflicts = exchangeConflicts(topicExchange(events), found.exchanges.get(events));
    if (conflicts.length > 0) {
      await this.#refuse(first, 'Conflict', conflicts.join('; '));
      return;
    }
    const resource = hasFinalizer(first) ? first : await source.addFinalizer(first);
    // Nobody subscribes yet. What is published meanwhile waits with its publisher.
    if (!found.exchanges.has(events))
      await connection.apply({ step: 'declareExchange', exchange: topicExchange(events) }, signal);
    const tls = tlsEntriesOf(connection.consumerTls);
    const settings = (uri: string) => publisherEntries(resource, capabilities, uri, tls);
    await handOut(publisherOf(resource, connection), settings, { connection, source, signal });
    const message = describeReady(resource, events, connection.users.arePerOwner);
    await this.#conclude(resource, { ready: 'True', reason: 'Bound', message, isBound: true });
  }

  /** True where the operator keeps its hands off. None of these holds a deletion. */
  async #standAside(resource: PublisherResource): Promise<boolean> {
    const { source } = this.#options;
    const paused = isPaused(resource);
    if (!paused && !isUnmanaged(resource)) return false;
    if (isDeleting(resource)) {
      if (hasFinalizer(resource)) await source.removeFinalizer(resource);
      return true;
    }
    const [reason, annotation] = paused ? ['Paused', PAUSED_ANNOTATION] : ['Unmanaged', UNMANAGED_ANNOTATION];
    const message = `nothing is changed or repaired until the annotation ${annotation} goes; its user and its binding stay`;
    await this.#conclude(resource, { reason, message, isHandsOff: true });
    if (!paused && hasFinalizer(resource)) await source.letGo(this.#now(resource));
    return true;
  }

  async #refuse(
    resource: PublisherResource,
    reason: string,
    message: string,
    more: Pick<Conclusion, 'isBound'> = {},
  ): Promise<Result> {
    await this.#conclude(resource, { ready: 'False', reason, message, ...more });
    return {};
  }

  /** What was handed out stays as it was; who waits for something is told for what. */
  async #wait(resource: PublisherResource | undefined, broker: BrokerState): Promise<void> {
    if (resource === undefined || broker.state !== 'down' || isSettled(resource)) return;
    const message = describeUnavailable(resource, broker.message);
    await this.#conclude(resource, { ready: 'False', reason: 'BrokerUnavailable', message });
  }

  async #fail(resource: PublisherResource | undefined, error: unknown): Promise<void> {
    const refusal = refusalOf(error);
    if (resource === undefined || refusal === undefined) return;
    // Up, and failing now and then: what was in order is not called anything else.
    if (concernsBroker(error) && isSettled(resource)) return;
    await this.#conclude(resource, { ready: 'False', ...refusal });
  }

  #now(resource: PublisherResource): PublisherResource {
    return newestOf(this.#options.source.publishers, resource);
  }

  /** Writes the status, and tells of it where it says something new. */
  async #conclude(resource: PublisherResource, conclusion: Conclusion): Promise<void> {
    const { source } = this.#options;
    const binding = bindingNameOf(resource);
    const status = publisherStatus(resource, { ...conclusion, binding }, new Date().toISOString());
    const story = storyOfPublisher(resource.status, status);
    await source.writePublisherStatus(resource, status);
    if (story !== undefined) tellOf(resource, story, this.#options);
  }
}
