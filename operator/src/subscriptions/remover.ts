/**
 * The deletion of a subscription: what its deletionPolicy says becomes of its queues, then the finalizer goes.
 *
 * The broker counts each queue's messages every few seconds, and a message that moves from one to another (a retry, a dead
 * letter) can be in neither count. So nothing is deleted as empty before it is so for certain (drained.ts), by readings of after
 * the unbinding. That is all that is remembered; a restart looks anew.
 *
 * With messages left, a broker that does not answer, or one that refuses, it waits and says so. It waits for ever for messages,
 * `abandonAfterMs` each time for a broker, and for neither once the whole namespace is going.
 */
import {
  COUNT_LAG_MS,
  exchangesOf,
  foreignQueues,
  namesOf,
  queuesThere,
  removal,
  wantedTopology,
  waitsBeside,
} from '@warren/topology';
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker, describeUnavailable } from '../brokers/broker-status.ts';
import type { BrokerRegistry, BrokerState } from '../brokers/registry.ts';
import { ENDLESS, finishDeletion, Troubles } from '../deletion.ts';
import type { Patience } from '../deletion.ts';
import { Drained } from '../migration/drained.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import { consumerOf } from '../users/handout.ts';
import { removeUsersOf, USER_LEFT, wasHandedUser } from '../users/removal.ts';
import { hasFinalizer, isClaimed, keyOfBound, namespaceOf, subscriptionOf } from './claims.ts';
import type { Claiming } from './claims.ts';
import { foreseenInError } from './conflicts.ts';
import { countsOf } from './counts.ts';
import { takenFrom } from './handover.ts';
import { describeLeftovers } from './leftovers.ts';
import type { Findings } from './status.ts';

export interface RemoverOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  claiming: Claiming;
  log: Log;
  abandonAfterMs: number;
  lookAgainMs: number;
  say: (resource: SubscriptionResource, findings: Findings) => Promise<void>;
}

interface Held {
  reason: string;
  message: string;
  patience: Patience;
  /** What giving up leaves behind; its queues where it is not there. */
  left?: string;
}

/** A namespace that is going lets a migration end in order for so long: milliseconds. */
const MIGRATION_MS = 30_000;

export class Remover {
  readonly #options: RemoverOptions;
  /** In milliseconds of `performance.now()`. */
  readonly #unboundAt = new Map<string, number>();
  readonly #drained = new Drained();
  readonly #troubles: Troubles;
  /** When a migration or takeover that is to end first last moved something, or was first looked at. */
  readonly #movedAt = new Map<string, number>();

  constructor(options: RemoverOptions) {
    this.#options = options;
    this.#troubles = new Troubles(options.abandonAfterMs);
  }

  /** A subscription is gone. */
  forget(key: string): void {
    this.#unboundAt.delete(key);
    this.#drained.forget(key);
    this.#troubles.forget(key);
    this.#movedAt.delete(key);
    this.#options.claiming.forget(key);
  }

  /** Its broker has done all that was asked of it until now. */
  served(key: string): void {
    this.#troubles.forget(key);
  }

  async remove(resource: SubscriptionResource, context: Pick<ReconcileContext, 'signal'>): Promise<Result> {
    // Without a claim nothing on the broker is its own.
    if (!hasFinalizer(resource)) return {};
    const { registry, claiming, source } = this.#options;
    const broker = registry.stateOf(resource.spec.brokerRef.name);
    if (!isClaimed(resource) && broker.state !== 'unknown') {
      if (!(await this.#hasBegun(resource, broker, context))) {
        await source.removeFinalizer(resource);
        return {};
      }
      claiming.add(resource);
    }
    switch (broker.state) {
      case 'up':
        return this.#removeFrom(resource, broker.connection, context);
      case 'unknown':
        if (!(await this.#needsBroker(resource))) return this.#end(resource);
        return { requeueAfterMs: 1_000 };
      case 'missing':
      case 'down':
        if (!(await this.#needsBroker(resource))) return this.#end(resource);
        // What it has got by a takeover that is not over may belong to the other one again.
        if (takenFrom(resource) !== undefined) return this.#holdFor(resource, broker);
        try {
          if (broker.last !== undefined) return await this.#removeFrom(resource, broker.last, context);
        } catch (error) {
          if (!concernsBroker(error)) throw error;
        }
        return this.#holdFor(resource, broker);
    }
  }

  /** Of one without a status: whether the operator ended in the middle of making its objects, as far as can be seen. */
  async #hasBegun(
    resource: SubscriptionResource,
    broker: BrokerState,
    { signal }: Pick<ReconcileContext, 'signal'>,
  ): Promise<boolean> {
    if (this.#options.claiming.has(resource)) return true;
    // Nobody who could have made them can be asked: it may never have been there.
    if (broker.state !== 'up') return false;
    const { connection } = broker;
    const wanted = wantedTopology(subscriptionOf(resource), connection.capabilities);
    const { found } = await connection.inventory({ maxAgeMs: 0, signal });
    await connection.settle(foreseenInError(resource, wanted, found), signal);
    return queuesThere(wanted, found).length > 0 && foreignQueues(wanted, found).length === 0;
  }

  /** Queues that are retained, and that nobody connects to as a user of its own, are left without asking for it. */
  async #needsBroker(resource: SubscriptionResource): Promise<boolean> {
    if (!isRetained(resource)) return true;
    const { source } = this.#options;
    const of = { namespace: namespaceOf(resource), name: resource.metadata.name };
    const { consumerCredentials } = source.brokers.get(resource.spec.brokerRef.name)?.spec ?? {};
    return wasHandedUser(resource, of, consumerCredentials?.mode === 'PerSubscription', source);
  }

  /** Undefined where the broker has not refused it, or not often enough. */
  async refused(
    resource: SubscriptionResource,
    error: unknown,
    context: Pick<ReconcileContext, 'failures'>,
  ): Promise<Result | undefined> {
    const refusal = this.#troubles.refused(resource, error, context);
    return refusal === undefined ? undefined : this.#hold(resource, refusal);
  }

  /**
   * After a pass of a migration or takeover that would end in order first: undefined unless none has moved anything for a while,
   * and it holds up a namespace that is going.
   *
   * @param what `queue shop.loyalty is being made anew`
   */
  async leaveStuck(resource: SubscriptionResource, what: string, moved: number): Promise<Result | undefined> {
    const { abandonAfterMs, source } = this.#options;
    const key = keyOfBound(resource);
    const now = performance.now();
    const movedAt = moved > 0 ? now : (this.#movedAt.get(key) ?? now);
    this.#movedAt.set(key, movedAt);
    if (now - movedAt < Math.min(MIGRATION_MS, abandonAfterMs)) return undefined;
    if (!(await source.namespaceIsEnding(namespaceOf(resource)))) return undefined;
    const message = `${what}, and its messages do not move`;
    return this.#hold(resource, { reason: 'Migrating', message, patience: ENDLESS, left: leftOf(resource) });
  }

  #holdFor(resource: SubscriptionResource, broker: { message: string }): Promise<Result> {
    const message = describeUnavailable(resource, broker.message);
    const patience = this.#troubles.patienceOf(resource);
    return this.#hold(resource, { reason: 'BrokerUnavailable', message, patience });
  }

  async #removeFrom(
    resource: SubscriptionResource,
    connection: BrokerConnection,
    context: Pick<ReconcileContext, 'signal'>,
  ): Promise<Result> {
    const waiting = isRetained(resource)
      ? undefined
      : await this.#removeQueues(resource, connection, context);
    if (waiting !== undefined) {
      this.served(keyOfBound(resource));
      return waiting;
    }
    return (await this.#removeUsers(resource, connection, context)) ?? this.#end(resource);
  }

  /** Everything is done. */
  #end(resource: SubscriptionResource): Promise<Result> {
    const [reason, what] = isRetained(resource)
      ? ['Retained', 'and what they hold are left']
      : ['Deleted', 'deleted'];
    return this.#finish(resource, { type: 'Normal', reason, message: `${queuesOf(resource)} ${what}` });
  }

  /** Gives back what to do where they have to wait, for messages or their counts; undefined where none is left. */
  async #removeQueues(
    resource: SubscriptionResource,
    connection: BrokerConnection,
    { signal }: Pick<ReconcileContext, 'signal'>,
  ): Promise<Result | undefined> {
    const key = keyOfBound(resource);
    const names = namesOf(namespaceOf(resource), resource.metadata.name);
    // Unbound already at first sight: nobody knows since when, so from now.
    let unboundAt = this.#unboundAt.get(key) ?? performance.now();
    this.#unboundAt.set(key, unboundAt);
    const { found, readAt } = await connection.inventory({ maxAgeMs: 0, signal });
    const { deletionPolicy } = resource.spec;
    const { steps, memberships, holding, done } = removal({
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      deletionPolicy,
      found,
      exchanges: exchangesOf(connection.capabilities),
      settled: readAt >= unboundAt + COUNT_LAG_MS,
    });
    if (holding.length > 0) {
      this.#drained.forget(key);
      const message =
        `there are still ${describeLeftovers(holding, names)}: all its queues are deleted when none is left; ` +
        'with deletionPolicy Delete the messages would be deleted too, with Retain the queues would be left';
      return this.#hold(resource, { reason: 'MessagesLeft', message, patience: ENDLESS }, connection);
    }
    if (deletionPolicy === 'DeleteWhenEmpty') {
      const areEmpty = steps.some((step) => step.step === 'deleteQueue' && step.onlyIfEmpty);
      const counts = { areEmpty, waits: waitsBeside(names, found), readAt };
      const about = { movedAt: unboundAt, connection, signal };
      const { drained, againAt } = await this.#drained.look(key, counts, about);
      if (areEmpty && !drained) return lookAt(againAt);
    }
    // Said before it is done: should the resource come back, what is missing was not deleted by hand.
    if (steps.length > 0) await this.#say(resource, connection, 'Deleting', `${queuesOf(resource)} go`);
    // While a stream is in a policy that is being written, its deletion can hold up that write, and all of the broker's with it.
    if (steps.length > 0 && found.queues.get(names.queue)?.type === 'stream')
      await connection.settle(memberships, signal);
    let left = false;
    for (const step of steps) {
      signal.throwIfAborted();
      if ((await connection.apply(step, signal)) === 'left') left = true;
      if (step.step !== 'unbind') continue;
      unboundAt = performance.now();
      this.#unboundAt.set(key, unboundAt);
    }
    if (left) this.#drained.forget(key);
    if (!done || left) return lookAt(unboundAt + COUNT_LAG_MS);
    await connection.settle(memberships, signal);
    return undefined;
  }

  /** Its binding goes with it, and so does who may connect by it. Gives back what to do where that has to wait. */
  async #removeUsers(
    resource: SubscriptionResource,
    connection: BrokerConnection,
    { signal }: Pick<ReconcileContext, 'signal'>,
  ): Promise<Result | undefined> {
    const { source } = this.#options;
    const message = await removeUsersOf(consumerOf(resource, connection), { connection, source, signal });
    if (message === undefined) return undefined;
    const patience = this.#troubles.patienceOf(resource);
    const held = { reason: 'NotAdministrator', message, patience, left: USER_LEFT };
    return this.#hold(resource, held, connection);
  }

  async #hold(
    resource: SubscriptionResource,
    { reason, message, patience: { isOver, leftMs }, left }: Held,
    connection?: BrokerConnection,
  ): Promise<Result> {
    const { source, lookAgainMs } = this.#options;
    if (isOver || (await source.namespaceIsEnding(namespaceOf(resource)))) {
      const why = isOver ? message : `the namespace is being deleted; ${message}`;
      const given = left ?? (isRetained(resource) ? USER_LEFT : leftOf(resource));
      return this.#finish(resource, { type: 'Warning', reason: 'Abandoned', message: `${given}: ${why}` });
    }
    await this.#say(resource, connection, reason, message);
    return { requeueAfterMs: Math.min(lookAgainMs, leftMs) };
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

  async #finish(resource: SubscriptionResource, story: Omit<StoryEvent, 'action'>): Promise<Result> {
    const key = keyOfBound(resource);
    // What was said of it in the same reconcile has made it another version.
    const now = this.#options.source.subscriptions.get(key);
    const result = await finishDeletion(isSameSpec(now, resource) ? now : resource, story, this.#options);
    this.forget(key);
    return result;
  }
}

function isSameSpec(
  now: SubscriptionResource | undefined,
  { metadata: { uid, generation } }: SubscriptionResource,
): now is SubscriptionResource {
  return now?.metadata.uid === uid && now?.metadata.generation === generation;
}

/** Soon after a moment of `performance.now()`, so that a reading begins after it. */
function lookAt(moment: number): Result {
  return { requeueAfterMs: Math.max(100, moment + 50 - performance.now()) };
}

function isRetained({ spec }: SubscriptionResource): boolean {
  return spec.deletionPolicy === 'Retain';
}

function leftOf(resource: SubscriptionResource): string {
  return `given up, ${queuesOf(resource)} may be left on the broker`;
}

function queuesOf(resource: SubscriptionResource): string {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  return `the queues ${queue} and ${deadLetterQueue}`;
}
