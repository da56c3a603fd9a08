/**
 * Makes the broker as one EventSubscription says, and says how it is.
 *
 *   which broker ─▶ may it ─▶ what is found ─▶ whose is it ─▶ policies ─▶ steps ─▶ binding ─▶ status
 *
 * Level, not edge: every reconcile reads the whole wanted and the whole found state and remembers nothing, so it may be cut
 * off between any two lines and goes on from there. Where nothing differs nothing is written, neither there nor here.
 *
 * - A subscription claims its names (claims.ts) before it makes anything.
 * - While the broker is down nothing is asked of it, and what was in sync stays as it was last seen: the EventBroker tells of
 *   the outage. When it is back, everybody comes again, and one reading serves them all.
 * - What differs although this very spec was in force already is drift: it is told, and repaired unless driftPolicy is Report.
 */
import {
  bindingEntries,
  describeDifference,
  describeStep,
  difference,
  foreignQueues,
} from '@warren/topology';
import { namesOf, routingKeysOf, wantedTopology } from '@warren/topology';
import type { Difference, Subscription, WantedTopology } from '@warren/topology';
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker } from '../brokers/registry.ts';
import type { BrokerRegistry, BrokerState } from '../brokers/registry.ts';
import { BindingTakenError } from '../errors.ts';
import { Migrator } from '../migration/migrator.ts';
import { beginningOf, endOf, progressOf } from '../migration/progress.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { allows } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource, StoryEvent } from '../source.ts';
import {
  claimableAge,
  describeTaken,
  isClaimed,
  isDeleting,
  keyOfSubscription,
  mayAdopt,
  namespaceOf,
} from './claims.ts';
import { countsOf } from './counts.ts';
import { Remover } from './remover.ts';
import { listed, statusOf, wasInSync } from './status.ts';
import type { Findings, Verdict } from './status.ts';
import { storyOf } from './story.ts';
import { Tidying } from './tidying.ts';

export interface SubscriptionReconcilerOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  metrics: OperatorMetrics;
  log: Log;
  /** How old a reading may be for a reconcile that has no reason to doubt it: milliseconds. */
  maxAgeMs: number;
  /** How long a deletion waits for a broker that does not answer: milliseconds. */
  abandonAfterMs: number;
  /** How often a deletion that waits looks again: milliseconds. */
  lookAgainMs: number;
  /** How long a wait queue must not have been needed until it is deleted: milliseconds. */
  tidyAfterMs: number;
}

type Context = Pick<ReconcileContext, 'signal' | 'log' | 'failures'>;

export class SubscriptionReconciler {
  readonly #options: SubscriptionReconcilerOptions;
  readonly #remover: Remover;
  readonly #tidying: Tidying;
  readonly #migrator = new Migrator();

  constructor(options: SubscriptionReconcilerOptions) {
    this.#options = options;
    this.#tidying = new Tidying(options.tidyAfterMs);
    this.#remover = new Remover({ ...options, say: (resource, findings) => this.#say(resource, findings) });
  }

  async reconcile(key: string, context: Context): Promise<Result> {
    const { source, registry } = this.#options;
    const resource = source.subscriptions.get(key);
    if (resource === undefined) {
      this.#remover.forget(key);
      return {};
    }
    const broker = resource.spec.brokerRef.name;
    try {
      if (isDeleting(resource))
        return (
          (await this.#endMigration(resource, context)) ?? (await this.#remover.remove(resource, context))
        );
      return await this.#reconcile(resource, registry.stateOf(broker), context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (concernsBroker(error) && !(await registry.verify(broker))) {
        // The broker is down: everybody is asked again when it is back, so nobody need try on their own.
        const now = source.subscriptions.get(key);
        if (now !== undefined && isDeleting(now)) return this.#remover.remove(now, context);
        await this.#wait(now, registry.stateOf(broker));
        return {};
      }
      await this.#fail(source.subscriptions.get(key), error);
      throw error;
    }
  }

  async #reconcile(resource: SubscriptionResource, broker: BrokerState, context: Context): Promise<Result> {
    const { name } = resource.spec.brokerRef;
    const known = this.#options.source.brokers.get(name);
    if (known !== undefined && !allows(known, namespaceOf(resource))) {
      const message = `EventBroker "${name}" does not allow the namespace ${namespaceOf(resource)}`;
      await this.#conclude(resource, refused('BrokerNotAllowed', message));
      return {};
    }
    switch (broker.state) {
      case 'unknown':
        return {};
      case 'missing':
        await this.#conclude(resource, refused('BrokerNotFound', broker.message));
        return {};
      case 'down':
        await this.#wait(resource, broker);
        return {};
      case 'up':
        return await this.#sync(resource, broker.connection, context);
    }
  }

  async #sync(first: SubscriptionResource, connection: BrokerConnection, context: Context): Promise<Result> {
    const { source, metrics } = this.#options;
    const wanted = wantedTopology(subscriptionOf(first), connection.capabilities);
    const reading = await connection.inventory({ maxAgeMs: this.#maxAge(first, context) });
    const { found } = reading;
    const about = { connection, wanted };
    let resource = first;
    if (!isClaimed(resource)) {
      const taken = foreignQueues(wanted, found);
      if (taken.length > 0 && !mayAdopt(resource)) {
        await this.#conclude(resource, { verdict: 'conflict', message: describeTaken(taken) }, about);
        return {};
      }
      resource = await source.addFinalizer(resource);
    }
    const all = difference(wanted, found);
    const result = { ...all, steps: this.#tidying.ripe(all.steps) };
    const { conflicts, blocked, overridden } = result;
    if (conflicts.length > 0) {
      await this.#conclude(resource, { verdict: 'conflict', message: listed(conflicts) }, about);
      return {};
    }
    const migrated = resource.status?.migration;
    if (this.#migrator.due(wanted, reading, connection) !== undefined) {
      if (wasInSync(resource) && blocked.length > 0) {
        metrics.driftFound(connection.name);
        const { driftPolicy: policy } = resource.spec;
        await this.#conclude(resource, { verdict: 'drifted', differences: blocked, policy }, about);
        if (policy === 'Report') return {};
        resource = source.subscriptions.get(keyOfSubscription(resource)) ?? resource;
      }
      return await this.#migrate(resource, about, context);
    }
    if (blocked.length > 0) {
      await this.#conclude(resource, { verdict: 'blocked', differences: blocked }, about);
      return {};
    }
    const differences = differencesIn(result);
    if (differences.length > 0) {
      const drifted =
        wasInSync(resource) && resource.status?.retryMode === retryModeOf(connection) && !isTidying(result);
      if (drifted) {
        metrics.driftFound(connection.name);
        const { driftPolicy: policy } = resource.spec;
        await this.#conclude(resource, { verdict: 'drifted', differences, policy }, about);
        if (policy === 'Report') return {};
        resource = source.subscriptions.get(keyOfSubscription(resource)) ?? resource;
      }
      const done = await this.#apply(result, connection, context);
      if (!drifted) this.#tellOfSteps(resource, done);
    }
    const binding = await this.#bind(resource, connection);
    await this.#conclude(resource, { verdict: 'inSync', overridden }, { ...about, binding });
    if (migrated !== undefined) this.#tell(resource, endOf(migrated));
    return {};
  }

  /** After a failure nothing is believed; whether a queue was there before the subscription, no older reading tells. */
  #maxAge(resource: SubscriptionResource, { failures }: Context): number {
    const { maxAgeMs } = this.#options;
    if (failures > 0) return 0;
    return isClaimed(resource) ? maxAgeMs : Math.min(maxAgeMs, claimableAge(resource, Date.now()));
  }

  /** One pass of the migration of a queue. */
  async #migrate(
    resource: SubscriptionResource,
    about: { connection: BrokerConnection; wanted: WantedTopology },
    { signal }: Context,
  ): Promise<Result> {
    const { connection, wanted } = about;
    const binding = isDeleting(resource) ? undefined : await this.#bind(resource, connection);
    const pass = await this.#migrator.pass(wanted, connection, signal);
    // Upon a new reading nothing is left of it: everything is compared anew.
    if (pass === undefined) return { requeueAfterMs: 1 };
    const migration = progressOf(resource, pass);
    const story = beginningOf(resource, migration);
    if (story !== undefined) this.#tell(resource, story);
    const { failure } = pass;
    const verdict = {
      verdict: 'migrating',
      migration,
      ...(failure === undefined ? {} : { failure }),
    } as const;
    await this.#conclude(resource, verdict, { ...about, ...(binding === undefined ? {} : { binding }) });
    return { requeueAfterMs: pass.againMs };
  }

  /** A deletion that keeps messages has them where they belong before; one that does not takes everything along. */
  async #endMigration(resource: SubscriptionResource, context: Context): Promise<Result | undefined> {
    const { registry, maxAgeMs } = this.#options;
    const broker = registry.stateOf(resource.spec.brokerRef.name);
    if (!isClaimed(resource) || broker.state !== 'up') return undefined;
    const { connection } = broker;
    const wanted = wantedTopology(subscriptionOf(resource), connection.capabilities);
    const { found } = await connection.inventory({ maxAgeMs });
    if (!this.#migrator.isUnderWay(wanted.names, found)) return undefined;
    if (resource.spec.deletionPolicy !== 'Delete')
      return await this.#migrate(resource, { connection, wanted }, context);
    await this.#migrator.discard(wanted.names, found, connection, context.signal);
    return undefined;
  }

  /** Gives back what was done, in words. */
  async #apply(
    { memberships, steps }: Difference,
    connection: BrokerConnection,
    { signal }: Context,
  ): Promise<string[]> {
    // Policies first: one that comes after its queues is matched with each of them once more.
    await connection.settle(memberships);
    const done = memberships.map(({ queue }) => `set the policy of queue ${queue}`);
    for (const step of steps) {
      signal.throwIfAborted();
      if ((await connection.apply(step, signal)) === 'done') done.push(describeStep(step));
    }
    return done;
  }

  #tellOfSteps(resource: SubscriptionResource, done: readonly string[]): void {
    if (done.length === 0) return;
    this.#tell(resource, { type: 'Normal', reason: 'Applied', action: 'Apply', message: done.join('; ') });
  }

  /** Hands the consumer its settings, when the queue that they name is there. */
  async #bind(resource: SubscriptionResource, connection: BrokerConnection): Promise<string> {
    const name = bindingNameOf(resource);
    const entries = bindingEntries(subscriptionOf(resource), connection.capabilities, connection.uri);
    await this.#options.source.writeBinding(resource, name, entries);
    return name;
  }

  /** Nobody can be asked now. What was in sync stays as it was last seen; who waits for something is told for what. */
  async #wait(resource: SubscriptionResource | undefined, broker: BrokerState): Promise<void> {
    if (resource === undefined || broker.state !== 'down' || wasInSync(resource)) return;
    const message = `EventBroker "${resource.spec.brokerRef.name}" is not available: ${broker.message}`;
    await this.#conclude(resource, { verdict: 'waiting', reason: 'BrokerUnavailable', message });
  }

  async #fail(resource: SubscriptionResource | undefined, error: unknown): Promise<void> {
    const code = (error as { code?: unknown } | null)?.code;
    // Errors of the API server would be met again while telling of them.
    if (resource === undefined || typeof code !== 'string' || code.startsWith('WARREN_K8S')) return;
    const message = error instanceof Error ? error.message : String(error);
    const reason = error instanceof BindingTakenError ? 'BindingTaken' : 'BrokerRefused';
    await this.#conclude(resource, { verdict: 'failed', reason, message });
  }

  async #conclude(
    resource: SubscriptionResource,
    verdict: Verdict,
    about: { connection?: BrokerConnection; wanted?: WantedTopology; binding?: string } = {},
  ): Promise<void> {
    const { connection, binding } = about;
    const counts = connection === undefined ? undefined : countsOf(resource, connection);
    await this.#say(resource, {
      verdict,
      names: namesOf(namespaceOf(resource), resource.metadata.name),
      ...(connection === undefined ? {} : { retryMode: retryModeOf(connection) }),
      ...(counts === undefined ? {} : { counts }),
      ...(binding === undefined ? {} : { binding }),
      takes: routingKeysOf(resource.spec.events).join(', '),
    });
  }

  /** Writes the status, and tells of it where it says something new. */
  async #say(resource: SubscriptionResource, findings: Findings): Promise<void> {
    const status = statusOf(resource, findings, new Date().toISOString());
    const story = storyOf(resource.status, status);
    await this.#options.source.writeSubscriptionStatus(resource, status);
    if (story !== undefined) this.#tell(resource, story);
  }

  #tell(resource: SubscriptionResource, story: StoryEvent): void {
    this.#options.source.tell(resource, story);
    const { log } = this.#options;
    const fields = { subscription: keyOfSubscription(resource), reason: story.reason };
    if (story.type === 'Warning') log.warn(fields, story.message);
    else log.info(fields, story.message);
  }
}

function subscriptionOf(resource: SubscriptionResource): Subscription {
  return { namespace: namespaceOf(resource), name: resource.metadata.name, spec: resource.spec };
}

function retryModeOf({ capabilities }: BrokerConnection): string {
  return capabilities.delayedRetry ? 'broker' : 'ladder';
}

/** The Secret that a consumer mounts. */
export function bindingNameOf({ metadata }: SubscriptionResource): string {
  return `${metadata.name}-binding`;
}

function differencesIn({ memberships, steps }: Difference): string[] {
  return [
    ...steps.map(describeDifference),
    ...memberships.map(({ queue }) => `the policy of queue ${queue} is not as it should be`),
  ];
}

/** What an earlier change of the spec left until it had run dry: nobody's hand. */
function isTidying({ memberships, steps }: Difference): boolean {
  return memberships.length === 0 && steps.every(({ step }) => step === 'deleteQueue');
}

function refused(reason: string, message: string): Verdict {
  return { verdict: 'refused', reason, message };
}
