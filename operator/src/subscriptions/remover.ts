/**
 * The deletion of a subscription: what its deletionPolicy says becomes of its queues, then the finalizer goes.
 *
 * The broker counts each queue's messages every few seconds, and a message that moves from one to another (a retry, a dead
 * letter) can be in neither count. So queues count as empty when they were in two readings so far apart that every count is a
 * new one, both of after the unbinding. That is all that is remembered; a restart looks anew. With messages left, or a broker that does not answer, it waits and says so. It waits for ever for
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

/** In milliseconds of `performance.now()`. */
interface Looked {
  unboundAt: number;
  /** When all its queues were first read as empty. */
  emptyAt?: number;
}

interface Held {
  reason: string;
  message: string;
  /** Whether it is given up after a while. */
  patience: 'endless' | 'limited';
}

export class Remover {
  readonly #options: RemoverOptions;
  readonly #looked = new Map<string, Looked>();

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /** A subscription is gone. */
  forget(key: string): void {
    this.#looked.delete(key);
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
    const looked = this.#looked.get(key) ?? { unboundAt: performance.now() };
    this.#looked.set(key, looked);
    const { found, readAt } = await connection.inventory({ maxAgeMs: 0 });
    const { steps, memberships, holding, done } = removal({
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      deletionPolicy: resource.spec.deletionPolicy,
      found,
      settled: readAt >= looked.unboundAt + COUNT_LAG_MS,
    });
    if (steps.some((step) => step.step === 'deleteQueue' && step.onlyIfEmpty)) {
      looked.emptyAt ??= readAt;
      if (readAt < looked.emptyAt + COUNT_LAG_MS) return lookAt(looked.emptyAt + COUNT_LAG_MS);
    } else {
      delete looked.emptyAt;
    }
    // Said before it is done: should the resource come back, what is missing was not deleted by hand.
    if (steps.length > 0) await this.#say(resource, connection, 'Deleting', `${queuesOf(resource)} go`);
    let left = false;
    for (const step of steps) {
      signal.throwIfAborted();
      if ((await connection.apply(step, signal)) === 'left') left = true;
      if (step.step === 'unbind') looked.unboundAt = performance.now();
    }
    if (holding.length > 0) {
      const message =
        `${listed(holding.map(({ queue }) => queue))} still holds messages: it is deleted when they are gone; ` +
        'with deletionPolicy Delete they would be deleted too, with Retain the queues would be left';
      return this.#hold(resource, { reason: 'MessagesLeft', message, patience: 'endless' }, connection);
    }
    if (left) delete looked.emptyAt;
    if (!done || left) return lookAt(looked.unboundAt + COUNT_LAG_MS);
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
    this.#looked.delete(subscription);
  }
}

/** Soon after a moment of `performance.now()`, so that a reading begins after it. */
function lookAt(moment: number): Result {
  return { requeueAfterMs: Math.max(100, moment + 50 - performance.now()) };
}

function queuesOf(resource: SubscriptionResource): string {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  return `the queues ${queue} and ${deadLetterQueue}`;
}
