/**
 * The deletion of a subscription: what its deletionPolicy says becomes of its queues, then the finalizer goes.
 *
 * Nothing is remembered but when the queue was unbound, and that only to be sure that its messages were counted after it: a
 * restart counts anew. With messages left, or a broker that does not answer, it waits and says so. It waits for ever for
 * messages, `abandonAfterMs` for a broker, and for neither once the whole namespace is going.
 */
import { COUNT_LAG_MS, namesOf, removal } from '@warren/topology';
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker } from '../brokers/registry.ts';
import type { BrokerRegistry } from '../brokers/registry.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isClaimed, keyOfSubscription, namespaceOf } from './claims.ts';
import { countsOf } from './counts.ts';
import { listed } from './status.ts';
import type { Findings } from './status.ts';

export interface RemoverOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  log: Log;
  abandonAfterMs: number;
  lookAgainMs: number;
  say: (resource: SubscriptionResource, findings: Findings) => Promise<void>;
}

interface Held {
  reason: string;
  message: string;
  /** Whether it is given up after a while. */
  patience: 'endless' | 'limited';
}

export class Remover {
  readonly #options: RemoverOptions;
  /** By key, in milliseconds of `performance.now()`. */
  readonly #unboundAt = new Map<string, number>();

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /** A subscription is gone. */
  forget(key: string): void {
    this.#unboundAt.delete(key);
  }

  async remove(resource: SubscriptionResource, context: Pick<ReconcileContext, 'signal'>): Promise<Result> {
    // Without a claim nothing on the broker is its own.
    if (!isClaimed(resource)) return {};
    if (resource.spec.deletionPolicy === 'Retain') {
      await this.#finish(resource, 'Normal', 'Retained', `${queuesOf(resource)} and what they hold are left`);
      return {};
    }
    const { name } = resource.spec.brokerRef;
    const broker = this.#options.registry.stateOf(name);
    switch (broker.state) {
      case 'up':
        return this.#removeFrom(resource, broker.connection, context);
      case 'unknown':
        return { requeueAfterMs: 1_000 };
      case 'missing':
        try {
          if (broker.last !== undefined) return await this.#removeFrom(resource, broker.last, context);
        } catch (error) {
          if (!concernsBroker(error)) throw error;
        }
        return this.#holdFor(resource, broker);
      case 'down':
        return this.#holdFor(resource, broker);
    }
  }

  #holdFor(resource: SubscriptionResource, broker: { message: string }): Promise<Result> {
    const message = `EventBroker "${resource.spec.brokerRef.name}" is not available: ${broker.message}`;
    return this.#hold(resource, { reason: 'BrokerUnavailable', message, patience: 'limited' });
  }

  async #removeFrom(
    resource: SubscriptionResource,
    connection: BrokerConnection,
    { signal }: Pick<ReconcileContext, 'signal'>,
  ): Promise<Result> {
    const key = keyOfSubscription(resource);
    // Unbound already at first sight: nobody knows since when, so from now.
    const unboundAt = this.#unboundAt.get(key) ?? performance.now();
    this.#unboundAt.set(key, unboundAt);
    const { found, readAt } = await connection.inventory({ maxAgeMs: 0 });
    const { steps, memberships, holding, done } = removal({
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      deletionPolicy: resource.spec.deletionPolicy,
      found,
      settled: readAt >= unboundAt + COUNT_LAG_MS,
    });
    // Said before it is done: should the resource come back, what is missing was not deleted by hand.
    if (steps.length > 0) await this.#say(resource, connection, 'Deleting', `${queuesOf(resource)} go`);
    let left = false;
    for (const step of steps) {
      signal.throwIfAborted();
      if ((await connection.apply(step, signal)) === 'left') left = true;
      if (step.step === 'unbind') this.#unboundAt.set(key, performance.now());
    }
    if (holding.length > 0) {
      const message =
        `${listed(holding.map(({ queue }) => queue))} still holds messages: it is deleted when they are gone; ` +
        'with deletionPolicy Delete they would be deleted too, with Retain the queues would be left';
      return this.#hold(resource, { reason: 'MessagesLeft', message, patience: 'endless' }, connection);
    }
    if (!done || left) {
      const since = this.#unboundAt.get(key) ?? unboundAt;
      return { requeueAfterMs: Math.max(100, since + COUNT_LAG_MS + 50 - performance.now()) };
    }
    await connection.settle(memberships);
    await this.#finish(resource, 'Normal', 'Deleted', `${queuesOf(resource)} deleted`);
    return {};
  }

  async #hold(
    resource: SubscriptionResource,
    { reason, message, patience }: Held,
    connection?: BrokerConnection,
  ): Promise<Result> {
    const { source, abandonAfterMs, lookAgainMs } = this.#options;
    const waitedMs = Date.now() - Date.parse(resource.metadata.deletionTimestamp ?? '');
    const given = patience === 'limited' && !(waitedMs < abandonAfterMs);
    if (given || (await source.namespaceIsEnding(namespaceOf(resource)))) {
      const why = given ? message : `the namespace is being deleted; ${message}`;
      await this.#finish(
        resource,
        'Warning',
        'Abandoned',
        `given up, ${queuesOf(resource)} may be left on the broker: ${why}`,
      );
      return {};
    }
    await this.#say(resource, connection, reason, message);
    const untilGivenUp = patience === 'limited' ? Math.max(100, abandonAfterMs - waitedMs) : Infinity;
    return { requeueAfterMs: Math.min(lookAgainMs, untilGivenUp) };
  }

  async #say(
    resource: SubscriptionResource,
    connection: BrokerConnection | undefined,
    reason: string,
    message: string,
  ): Promise<void> {
    const counts = connection === undefined ? undefined : countsOf(resource, connection);
    await this.#options.say(resource, {
      verdict: { verdict: 'deleting', reason, message },
      names: namesOf(namespaceOf(resource), resource.metadata.name),
      ...(counts === undefined ? {} : { counts }),
    });
  }

  /** Told before the finalizer goes: afterwards there is nothing left to tell it of. */
  async #finish(
    resource: SubscriptionResource,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
  ): Promise<void> {
    const { source, log } = this.#options;
    const subscription = keyOfSubscription(resource);
    source.tell(resource, { type, reason, action: 'Delete', message });
    log[type === 'Warning' ? 'warn' : 'info']({ subscription, reason }, message);
    await source.removeFinalizer(resource);
    this.#unboundAt.delete(subscription);
  }
}

function queuesOf(resource: SubscriptionResource): string {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  return `the queues ${queue} and ${deadLetterQueue}`;
}
