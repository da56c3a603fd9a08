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
import { difference, missingPlugin, queuesThere, wantedTopology } from '@warren/topology';
import type { WantedTopology } from '@warren/topology';
import type { ReconcileContext, Result } from '@warren/controller';
import type { BrokerConnection } from '../brokers/connection.ts';
import { concernsBroker } from '../brokers/broker-status.ts';
import type { Layout } from '../brokers/live-inventory.ts';
import type { Reading } from '../brokers/mirror.ts';
import type { BrokerRegistry, BrokerState } from '../brokers/registry.ts';
import { ConsumerUserError } from '../errors.ts';
import { Migrator } from '../migration/migrator.ts';
import { beginningOf, endOf, progressOf } from '../migration/progress.ts';
import type { OperatorMetrics } from '../metrics.ts';
import type { SubscriptionResource } from '../resources.ts';
import {
  claimableAge,
  Claiming,
  describeName,
  hasOwnNames,
  isClaimed,
  isDeleting,
  keyOfBound,
  namespaceOf,
  newestOf,
  subscriptionOf,
  tellsItsOwner,
} from './claims.ts';
import { applyDifference, bindConsumer } from './effects.ts';
import { conflictsOf, foreseenInError } from './conflicts.ts';
import { standAside } from './hands-off.ts';
import { standingOf } from './handover.ts';
import type { Standing } from './handover.ts';
import { othersIn } from './others.ts';
import { Remover } from './remover.ts';
import { listed, wasInSync, wasInSyncWith } from './status.ts';
import type { Verdict } from './status.ts';
import { CONSENT_AGAIN_MS, TakeoverReconciler } from './takeover-reconciler.ts';
import { isAsWanted } from './survey.ts';
import type { AsWanted } from './survey.ts';
import type { StoryEvent } from '../source.ts';
import { Tidying } from './tidying.ts';
import { consumerOf } from '../users/handout.ts';
import { revocationStory, revokeUsers } from '../users/revocation.ts';
import type { Revocation } from '../users/revocation.ts';
import { Turns } from './turns.ts';
import { Voice } from './voice.ts';
import type { VoiceOptions } from './voice.ts';
import { differencesIn, isTidying } from './words.ts';

export interface SubscriptionReconcilerOptions extends VoiceOptions {
  registry: BrokerRegistry;
  metrics: OperatorMetrics;
  /** Told of those that were compared, so that the next survey need not compare them too. */
  asWanted: AsWanted;
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
  readonly #voice: Voice;
  readonly #remover: Remover;
  readonly #tidying: Tidying;
  readonly #migrator = new Migrator();
  readonly #turns = new Turns();
  readonly #takeover: TakeoverReconciler;
  readonly #claiming = new Claiming();

  constructor(options: SubscriptionReconcilerOptions) {
    this.#options = options;
    const claiming = this.#claiming;
    this.#voice = new Voice({ ...options, claiming });
    this.#tidying = new Tidying(options.tidyAfterMs);
    this.#remover = new Remover({
      ...options,
      claiming,
      say: (resource, findings) => this.#voice.say(resource, findings),
    });
    this.#takeover = new TakeoverReconciler({
      source: options.source,
      migrator: this.#migrator,
      turns: this.#turns,
      bind: (resource, connection, { signal }) => this.#bind(resource, connection, signal),
      pause: (resource, connection, { signal }) => this.#bind(resource, connection, signal, true),
      conclude: (resource, verdict, about) => this.#concludePass(resource, verdict, about),
      leaveStuck: (resource, what, moved) => this.#remover.leaveStuck(resource, what, moved),
      tell: (resource, story) => this.#voice.tell(resource, story),
    });
  }

  async reconcile(key: string, context: Context): Promise<Result> {
    const { source, registry } = this.#options;
    const resource = source.subscriptions.get(key);
    if (resource === undefined) {
      this.#remover.forget(key);
      this.#tidying.forget(key);
      return {};
    }
    using turn = this.#turns.enter(key);
    if (turn === undefined) return { requeueAfterMs: 200 };
    const broker = resource.spec.brokerRef.name;
    try {
      const aside = await this.#standAside(resource, this.#standingOf(resource));
      if (aside !== undefined) {
        await this.#tellOfRevocation(resource, registry.stateOf(broker), context);
        return aside;
      }
      if (isDeleting(resource))
        return (
          (await this.#endMigration(resource, context)) ?? (await this.#remover.remove(resource, context))
        );
      return await this.#reconcile(resource, registry.stateOf(broker), context);
    } catch (error) {
      context.signal.throwIfAborted();
      const concerns = concernsBroker(error);
      const isDown = concerns && !(await registry.verify(broker));
      if (!isDown && isDeleting(resource)) {
        const held = await this.#remover.refused(resource, error, context);
        if (held !== undefined) return held;
      }
      if (isDown) {
        // The broker is down: everybody is asked again when it is back, so nobody need try on their own.
        const now = source.subscriptions.get(key);
        if (now !== undefined && isDeleting(now)) return await this.#remover.remove(now, context);
        await this.#voice.wait(now, registry.stateOf(broker));
        return {};
      }
      if (concerns) await this.#voice.failing(source.subscriptions.get(key), error);
      else await this.#voice.fail(source.subscriptions.get(key), error);
      // The EventBroker tells of it, and asks again every time it is looked at.
      if (error instanceof ConsumerUserError) return {};
      throw error;
    }
  }

  async #reconcile(resource: SubscriptionResource, broker: BrokerState, context: Context): Promise<Result> {
    if (!hasOwnNames(resource)) {
      await this.#voice.conclude(resource, refused('NameNotAllowed', describeName(resource)));
      return {};
    }
    const standing = this.#standingOf(resource);
    if (standing.standing === 'pending' && standing.begun === undefined) {
      await this.#voice.conclude(resource, refused('ClaimPending', standing.message));
      return { requeueAfterMs: CONSENT_AGAIN_MS };
    }
    const revoked = await this.#revokeUsers(resource, broker, context);
    if (revoked !== undefined) {
      await this.#voice.conclude(resource, refused('BrokerNotAllowed', revoked.message));
      return {};
    }
    switch (broker.state) {
      case 'unknown':
        await this.#voice.sayScaling(resource);
        return {};
      case 'missing':
        await this.#voice.conclude(resource, refused('BrokerNotFound', broker.message));
        return {};
      case 'down':
        await this.#voice.wait(resource, broker);
        return {};
      case 'up':
        return await this.#sync(resource, broker.connection, context);
    }
  }

  #revokeUsers(
    resource: SubscriptionResource,
    broker: BrokerState,
    { signal }: Context,
  ): Promise<Revocation | undefined> {
    const { source } = this.#options;
    const ownerOn = (connection: BrokerConnection) => consumerOf(resource, connection);
    return revokeUsers(resource, broker, ownerOn, { source, signal });
  }

  /** The status of what the operator keeps its hands off stays as it is. */
  async #tellOfRevocation(
    resource: SubscriptionResource,
    broker: BrokerState,
    context: Context,
  ): Promise<void> {
    if (isDeleting(resource)) return;
    const revoked = await this.#revokeUsers(resource, broker, context);
    if (revoked?.isNew === true) this.#voice.tell(resource, revocationStory(revoked));
  }

  /** @param second reading, after one in which something had drifted: a change by hand may have come in the middle of that */
  async #sync(
    first: SubscriptionResource,
    connection: BrokerConnection,
    context: Context,
    second?: Reading,
  ): Promise<Result> {
    const plugin = missingPlugin(first.spec, connection.capabilities);
    if (plugin !== undefined) {
      await this.#voice.conclude(first, refused('PluginMissing', plugin));
      return {};
    }
    const wanted = wantedTopology(subscriptionOf(first), connection.capabilities);
    const reading = second ?? (await this.#read(first, wanted, connection, context));
    const { found } = reading;
    const lookAgain = async () =>
      this.#sync(first, connection, context, await connection.inventoryAfter(reading, context.signal));
    const about = { connection, wanted };
    let resource = first;
    if (!isClaimed(resource)) {
      const taken = conflictsOf(resource, wanted, found);
      if (taken.length > 0) {
        await this.#voice.conclude(resource, { verdict: 'conflict', message: listed(taken) }, about);
        await connection.settle(foreseenInError(resource, wanted, found), context.signal);
        return {};
      }
      resource = await this.#claim(resource, reading, about);
    }
    const standing = this.#standingOf(resource);
    // The other one has claimed it in the meantime: nothing but this tells when that is over.
    if (standing.standing === 'releasing' || standing.standing === 'released')
      return (await this.#standAside(resource, standing)) ?? {};
    const taking = await this.#takeover.step(resource, standing, about, context);
    if (taking !== undefined) return taking;
    const tooLate = await this.#tooLateToCallOff(resource, standing, connection, context);
    if (tooLate !== undefined) return tooLate;
    await this.#takeover.takeovers.callOff(wanted.names, found, connection, context.signal);
    const { layout } = found;
    const all = difference(wanted, found);
    const result = { ...all, steps: this.#tidying.ripe(keyOfBound(resource), all.steps) };
    const { conflicts, blocked, overridden } = result;
    if (conflicts.length > 0) {
      await this.#voice.conclude(resource, { verdict: 'conflict', message: listed(conflicts) }, about);
      return {};
    }
    const migrated = resource.status?.migration;
    if (this.#migrator.due(wanted, reading, connection) !== undefined) {
      if (wasInSync(resource) && blocked.length > 0) {
        if (second === undefined) return await lookAgain();
        const known = await this.#tellOfDrift(resource, blocked, about);
        if (known === undefined) return {};
        resource = known;
      }
      return await this.#migrate(resource, about, context);
    }
    if (blocked.length > 0) {
      await this.#voice.conclude(resource, { verdict: 'blocked', differences: blocked }, about);
      return {};
    }
    const differences = differencesIn(result);
    if (differences.length > 0) {
      const drifted = wasInSyncWith(resource, connection.capabilities) && !isTidying(result);
      if (drifted) {
        if (second === undefined) return await lookAgain();
        const known = await this.#tellOfDrift(resource, differences, about);
        if (known === undefined) return {};
        resource = known;
      }
      const done = await applyDifference(result, connection, { ...context, drifted });
      if (!drifted) this.#voice.tellOfSteps(resource, done);
    }
    const binding = await this.#bind(resource, connection, context.signal);
    await this.#voice.conclude(resource, { verdict: 'inSync', overridden }, { ...about, binding });
    if (isAsWanted(all)) this.#noteAsWanted(first, connection, layout);
    if (migrated !== undefined) this.#voice.tell(resource, endOf(migrated));
    return standing.standing === 'offered' ? { requeueAfterMs: CONSENT_AGAIN_MS } : {};
  }

  /** Undefined where nobody has begun to take over from it, or it can have everything back. */
  async #tooLateToCallOff(
    resource: SubscriptionResource,
    standing: Standing,
    connection: BrokerConnection,
    { signal }: Context,
  ): Promise<Result | undefined> {
    if (standing.standing !== 'offered' || standing.begun === undefined) return undefined;
    const { begun: to } = standing;
    const self = { namespace: namespaceOf(resource), name: resource.metadata.name };
    const { found } = await connection.inventory({ maxAgeMs: 0, signal });
    if (!this.#takeover.takeovers.isFinal(self, to, found, connection)) return undefined;
    return this.#standAside(resource, { standing: 'releasing', to, begun: true });
  }

  /**
   * Before anything is made. Where the first object will not tell whose it is, or there is more to it than to make them all, the
   * status tells.
   */
  async #claim(
    unclaimed: SubscriptionResource,
    { found }: Reading,
    about: { connection: BrokerConnection; wanted: WantedTopology },
  ): Promise<SubscriptionResource> {
    const { source } = this.#options;
    const resource = await source.addFinalizer(unclaimed);
    this.#claiming.add(resource);
    const isPlain = tellsItsOwner(resource) && queuesThere(about.wanted, found).length === 0;
    if (isClaimed(resource) || (isPlain && this.#standingOf(resource).standing === 'own')) return resource;
    await this.#voice.conclude(resource, { verdict: 'claimed' }, about);
    return newestOf(source.subscriptions, resource);
  }

  #bind(
    resource: SubscriptionResource,
    connection: BrokerConnection,
    signal: AbortSignal,
    isPaused = false,
  ): Promise<string> {
    const { source } = this.#options;
    return bindConsumer(resource, connection, { source, signal, isPaused });
  }

  /** Gives back the resource with what was told of it; undefined where it is only to be told. */
  async #tellOfDrift(
    resource: SubscriptionResource,
    differences: string[],
    about: { connection: BrokerConnection; wanted: WantedTopology },
  ): Promise<SubscriptionResource | undefined> {
    const { source, metrics } = this.#options;
    metrics.driftFound(about.connection.name);
    const { driftPolicy: policy } = resource.spec;
    await this.#voice.conclude(resource, { verdict: 'drifted', differences, policy }, about);
    if (policy === 'Report') return undefined;
    return newestOf(source.subscriptions, resource);
  }

  /** What is in force was told just before. With anything that was written meanwhile, the layout is another one. */
  #noteAsWanted(compared: SubscriptionResource, { capabilities }: BrokerConnection, layout: Layout): void {
    const { source, asWanted } = this.#options;
    const now = source.subscriptions.get(keyOfBound(compared));
    if (now === undefined || now.metadata.uid !== compared.metadata.uid) return;
    if (now.metadata.generation === compared.metadata.generation) asWanted.set(now, { layout, capabilities });
  }

  #standingOf(resource: SubscriptionResource): Standing {
    return standingOf(resource, othersIn(this.#options.source.subscriptions));
  }

  #standAside(resource: SubscriptionResource, standing: Standing): Promise<Result | undefined> {
    const { source, abandonAfterMs } = this.#options;
    const tell = (one: SubscriptionResource, story: StoryEvent) => this.#voice.tell(one, story);
    return standAside(resource, standing, { source, abandonAfterMs, tell });
  }

  /**
   * After a failure nothing is believed. Who is new or edited need not wait for a reading: what is wrong in an old one, a
   * write or the next comparison finds out. But whether a queue was there before the subscription, no older reading tells.
   */
  #read(
    resource: SubscriptionResource,
    { queues, names: { queue } }: WantedTopology,
    connection: BrokerConnection,
    { failures, signal }: Context,
  ): Promise<Reading> {
    if (failures > 0) return connection.inventory({ maxAgeMs: 0, signal });
    if (isClaimed(resource))
      return connection.inventory({
        maxAgeMs: wasInSync(resource) ? this.#options.maxAgeMs : Infinity,
        signal,
      });
    const surelyMs = claimableAge(resource, Date.now());
    // Partitions would replace a queue of that name.
    const names = [...new Set([...queues.map(({ name }) => name), queue])];
    return connection.inventoryFor(names, { surelyMs, signal });
  }

  /** One pass of the migration of a queue. */
  async #migrate(
    resource: SubscriptionResource,
    about: { connection: BrokerConnection; wanted: WantedTopology },
    { signal }: Context,
  ): Promise<Result> {
    const { connection, wanted } = about;
    let binding: string | undefined;
    const pass = await this.#migrator.pass(wanted, connection, signal, {
      closes: isDeleting(resource),
      tell: async (consumers) => {
        if (isDeleting(resource) || consumers === 'unchanged') return;
        binding = await this.#bind(resource, connection, signal, consumers === 'paused');
      },
    });
    // Upon a new reading nothing is left of it: everything is compared anew.
    if (pass === undefined) return { requeueAfterMs: 1 };
    const migration = progressOf(resource, pass);
    const story = beginningOf(resource, migration);
    if (story !== undefined) this.#voice.tell(resource, story);
    const { failure } = pass;
    const verdict = {
      verdict: 'migrating',
      migration,
      ...(failure === undefined ? {} : { failure }),
    } as const;
    await this.#concludePass(resource, verdict, {
      ...about,
      ...(binding === undefined ? {} : { binding }),
    });
    const what = `queue ${migration.queue} is being made anew`;
    const left = isDeleting(resource)
      ? await this.#remover.leaveStuck(resource, what, pass.moved)
      : undefined;
    return left ?? { requeueAfterMs: pass.againMs };
  }

  /** What a pass came to: the broker has done its part. */
  #concludePass(
    resource: SubscriptionResource,
    verdict: Verdict,
    about: { connection: BrokerConnection; wanted: WantedTopology; binding?: string },
  ): Promise<void> {
    this.#remover.served(keyOfBound(resource));
    return this.#voice.conclude(resource, verdict, about);
  }

  /** A deletion that keeps messages has them where they belong before; one that does not takes everything along. */
  async #endMigration(resource: SubscriptionResource, context: Context): Promise<Result | undefined> {
    const { registry, maxAgeMs } = this.#options;
    const broker = registry.stateOf(resource.spec.brokerRef.name);
    if (!isClaimed(resource) || broker.state !== 'up') return undefined;
    const { connection } = broker;
    const wanted = wantedTopology(subscriptionOf(resource), connection.capabilities);
    const about = { connection, wanted };
    const standing = this.#standingOf(resource);
    const taking =
      (await this.#takeover.step(resource, standing, about, context)) ??
      (await this.#tooLateToCallOff(resource, standing, connection, context));
    if (taking !== undefined) return taking;
    const { found } = await connection.inventory({ maxAgeMs, signal: context.signal });
    if (!this.#migrator.isUnderWay(wanted.names, found)) return undefined;
    if (resource.spec.deletionPolicy !== 'Delete') return await this.#migrate(resource, about, context);
    await this.#migrator.discard(wanted.names, found, connection, context.signal);
    return undefined;
  }
}

function refused(reason: string, message: string): Verdict {
  return { verdict: 'refused', reason, message };
}
