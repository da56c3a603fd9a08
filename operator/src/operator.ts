/**
 * The operator: a controller each for EventBrokers, EventSubscriptions and EventPublishers, over any source of resources.
 *
 * There is no resync of single objects. Every `resyncMs` an EventBroker is reconciled: the broker is asked whether it is
 * there, read as a whole, and what differs is enqueued. A change of a broker's state enqueues its subscriptions once.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { createController, createManager, Priority, unlessAborted } from '@warren/controller';
import type { Controller, ControllerMetrics, LeaderElector, Log, Source } from '@warren/controller';
import { capabilitiesOf as capabilitiesByVersion, DEFAULT_EXCHANGES } from '@warren/topology';
import type { BrokerCapabilities } from '@warren/topology';
import type { Registry } from 'prom-client';
import { connectBroker } from './brokers/client.ts';
import type { ConnectBroker } from './brokers/client.ts';
import type { BrokerConnection } from './brokers/connection.ts';
import { BrokerRegistry } from './brokers/registry.ts';
import { createOperatorMetrics } from './metrics.ts';
import type { SubscriptionNumbers } from './metrics.ts';
import { conditionOf } from './conditions.ts';
import { allows } from './resources.ts';
import type { BoundResource, SubscriptionResource } from './resources.ts';
import type { ResourceSource } from './source.ts';
import { scalingControllers } from './scaling/controllers.ts';
import { Scaler } from './scaling/scaler.ts';
import type { ScalerOptions } from './scaling/scaler.ts';
import { notScaling } from './scaling/state.ts';
import { hasFinalizer, isClaimed, isDeleting, keyOfBound, namespaceOf } from './subscriptions/claims.ts';
import { foreseen, inVain } from './subscriptions/foresight.ts';
import { isHandsOff } from './subscriptions/hands-off.ts';
import { othersIn } from './subscriptions/others.ts';
import { SubscriptionReconciler } from './subscriptions/reconciler.ts';
import { survey } from './subscriptions/survey.ts';
import type { AsWanted } from './subscriptions/survey.ts';
import { PublisherReconciler } from './publishers/reconciler.ts';
import { surveyPublishers } from './publishers/survey.ts';
import { surveyUsers } from './users/user-survey.ts';

export interface OperatorOptions {
  source: ResourceSource;
  /** Where the operator's metrics go. */
  registry: Registry;
  log: Log;
  /** Of the controllers, in the same registry. */
  metrics?: ControllerMetrics;
  election?: LeaderElector;
  /** Subscriptions reconciled at the same time; default 64. */
  workers?: number;
  /** How often the broker is compared with what is wanted, in milliseconds; default 15,000. */
  resyncMs?: number;
  /** How long a deletion waits for a broker that does not answer, in milliseconds; default 600,000. */
  abandonAfterMs?: number;
  /** How long a wait queue, or a user, must not have been needed until it is deleted, in milliseconds; default 180,000. */
  tidyAfterMs?: number;
  shutdownDeadlineMs?: number;
  /** Acts on spec.scaling. */
  scaling?: ScalingOptions;
  /** Seams for tests. */
  connect?: ConnectBroker;
  capabilitiesOf?: (version: string) => BrokerCapabilities;
  brokerPauseMs?: { first: number; longest: number };
}

export type ScalingOptions = Omit<ScalerOptions, 'source' | 'registry' | 'log'>;

export interface Operator {
  /** Everything that exists has been listed. */
  readonly synced: boolean;
  /** Resolves when the signal aborted and everything has ended; rejects as the manager of @warren/controller does. */
  run(signal: AbortSignal): Promise<void>;
}

/** A reconcile that has not ended by then has its calls aborted. */
const RECONCILE_TIMEOUT_MS = 120_000;

/** Who waits for a broker that does not answer only waits: many of those are to hold up no other. */
const BROKER_WORKERS = 64;

/** Subscriptions come and go by the hundred: how many a broker has is told once for all that did so meanwhile. */
const GATHER_COUNTS_MS = 300;

export function createOperator(options: OperatorOptions): Operator {
  const { source, log, workers = 64, resyncMs = 15_000 } = options;
  const { abandonAfterMs = 600_000, tidyAfterMs = 180_000 } = options;
  const metrics = createOperatorMetrics(options.registry, () => numbersOf(source));
  const registry = new BrokerRegistry({
    source,
    log,
    metrics,
    connect: options.connect ?? connectBroker,
    capabilitiesOf: options.capabilitiesOf ?? capabilitiesByVersion,
    probeMs: resyncMs,
    keepMs: abandonAfterMs,
    ...(options.brokerPauseMs === undefined ? {} : { pauseMs: options.brokerPauseMs }),
  });
  const scaler =
    options.scaling === undefined ? undefined : new Scaler({ source, registry, log, ...options.scaling });
  const asWanted: AsWanted = new WeakMap();
  const reconciler = new SubscriptionReconciler({
    source,
    registry,
    metrics,
    log,
    maxAgeMs: resyncMs,
    abandonAfterMs,
    lookAgainMs: resyncMs,
    tidyAfterMs,
    asWanted,
    scalingOf: scaler === undefined ? () => notScaling(source.mode) : (resource) => scaler.stateOf(resource),
  });
  const observed = (name: string) =>
    options.metrics === undefined ? {} : { observer: options.metrics.controller(name) };
  // Before that a policy would be called needed by nobody, and a broker's subscriptions counted too few.
  const bothListed = Promise.all([source.subscriptions.changes.synced, source.publishers.changes.synced]);
  const brokers = createController({
    name: 'eventbroker',
    reconcile: async (key, { signal }) => {
      // Listing many subscriptions takes as long as reading their queues.
      await registry.readAhead(key);
      await unlessAborted(bothListed, signal);
      return registry.reconcile(key, signal);
    },
    sources: [source.brokers.changes],
    workers: BROKER_WORKERS,
    log,
    ...observed('eventbroker'),
  });
  // Not at the next look at the broker: who is stopped before that leaves it to the next operator to write.
  const counts = createController({
    name: 'eventbroker-counts',
    reconcile: async (broker, { signal }) => {
      await pause(GATHER_COUNTS_MS, undefined, { signal });
      await registry.tell(broker);
      return {};
    },
    sources: [],
    workers: BROKER_WORKERS,
    log,
    ...observed('eventbroker-counts'),
  });
  const scaling =
    scaler === undefined || options.scaling === undefined
      ? undefined
      : scalingControllers({
          scaler,
          platform: options.scaling.platform,
          metricsApi: options.scaling.metricsApi,
          subscriptions: () => subscriptions,
          workers: 8,
          metrics: options.metrics,
          log,
        });
  const subscriptions: Controller = createController({
    name: 'eventsubscription',
    reconcile: async (key, context) => {
      scaling?.lookAt(key);
      const before = source.subscriptions.get(key);
      try {
        return await reconciler.reconcile(key, context);
      } finally {
        if (before !== undefined && countsAnew(before, source.subscriptions.get(key)))
          counts.enqueue(before.spec.brokerRef.name);
        // It has the binding of that name, or has given it up.
        if (source.publishers.get(key) !== undefined) publishers.enqueue(key);
      }
    },
    sources: [
      source.subscriptions.changes,
      listed(source.brokers.changes),
      ...(source.bindingChanges === undefined ? [] : [source.bindingChanges.subscriptions]),
    ],
    workers,
    reconcileTimeoutMs: RECONCILE_TIMEOUT_MS,
    log,
    ...observed('eventsubscription'),
  });
  const publisherReconciler = new PublisherReconciler({
    source,
    registry,
    log,
    maxAgeMs: resyncMs,
    abandonAfterMs,
    lookAgainMs: resyncMs,
  });
  const publishers: Controller = createController({
    name: 'eventpublisher',
    reconcile: (key, context) => publisherReconciler.reconcile(key, context),
    sources: [
      source.publishers.changes,
      listed(source.subscriptions.changes),
      listed(source.brokers.changes),
      ...(source.bindingChanges === undefined ? [] : [source.bindingChanges.publishers]),
    ],
    workers: 8,
    reconcileTimeoutMs: RECONCILE_TIMEOUT_MS,
    log,
    ...observed('eventpublisher'),
  });
  connectControllers(
    source,
    registry,
    { brokers, subscriptions, publishers },
    { asWanted, log, tidyAfterMs },
  );
  const manager = createManager({
    controllers: [brokers, counts, subscriptions, publishers, ...(scaling?.controllers ?? [])],
    log,
    ...(options.election === undefined ? {} : { election: options.election }),
    ...(options.shutdownDeadlineMs === undefined ? {} : { shutdownDeadlineMs: options.shutdownDeadlineMs }),
  });
  return {
    get synced() {
      return manager.synced;
    },
    run: async (signal) => {
      try {
        await manager.run(signal);
      } finally {
        await registry.close();
      }
    },
  };
}

/** Whether a reconcile may have made a subscription one of those that a broker has, or ended that. */
function countsAnew(before: SubscriptionResource, after: SubscriptionResource | undefined): boolean {
  if (before.status === undefined || isDeleting(before)) return true;
  return isClaimed(before) !== (after !== undefined && isClaimed(after));
}

/** Nothing of its own. Before both kinds are listed, a broker would be called missing, or a policy needed by nobody. */
function listed({ name, synced }: Source): Source {
  return { name: `${name}, listed`, synced, start: () => undefined, stop: () => Promise.resolve() };
}

/** Who asks whom to look again. */
function connectControllers(
  source: ResourceSource,
  registry: BrokerRegistry,
  {
    brokers,
    subscriptions,
    publishers,
  }: { brokers: Controller; subscriptions: Controller; publishers: Controller },
  { asWanted, log, tidyAfterMs }: { asWanted: AsWanted; log: Log; tidyAfterMs: number },
): void {
  registry.isNeeded = (broker) =>
    [...source.subscriptions.list(), ...source.publishers.list()].some(
      (one) => one.spec.brokerRef.name === broker && hasFinalizer(one),
    );
  registry.usersOf = (broker) => usersOf(source, broker);
  registry.isOurs = (broker, object) => {
    const [namespace = '', name = ''] = object.split('.');
    const { exchanges = DEFAULT_EXCHANGES } = source.brokers.get(broker)?.spec ?? {};
    if (object === exchanges.events || object === exchanges.failedEvents) return true;
    return source.subscriptions.get(`${namespace}/${name}`)?.spec.brokerRef.name === broker;
  };
  registry.foreseen = (broker, found) => foreseen(source, broker, found);
  registry.askAgain = (broker) => brokers.enqueue(broker);
  registry.onChange((broker) => {
    const isItsOwn = (one: BoundResource) => one.spec.brokerRef.name === broker;
    resync(subscriptions, source.subscriptions.list().filter(isItsOwn).map(keyOfBound));
    resync(publishers, source.publishers.list().filter(isItsOwn).map(keyOfBound));
  });
  registry.revoke = async (connection: BrokerConnection) => {
    const worth = await surveyUsers(source, connection, tidyAfterMs);
    resync(subscriptions, worth.subscriptions);
    resync(publishers, worth.publishers);
  };
  registry.survey = async (connection: BrokerConnection, signal: AbortSignal) => {
    try {
      await connection.refreshStats();
    } catch (error) {
      // The numbers in the status stay as they are.
      log.debug({ broker: connection.name, error: String(error) }, 'the messages could not be counted');
    }
    const { found } = await connection.inventory({ maxAgeMs: Infinity, signal });
    const others = othersIn(source.subscriptions);
    // Whose turn is about to come is compared by its own reconcile.
    const unheeded = source.subscriptions
      .list()
      .filter((one) => !subscriptions.queue.has(keyOfBound(one)) && !isHandsOff(one, others));
    resync(subscriptions, survey(unheeded, found, connection, asWanted));
    await connection.settle(inVain(source, found), signal);
    const worth = await surveyUsers(source, connection, tidyAfterMs);
    resync(subscriptions, worth.subscriptions);
    resync(publishers, [...worth.publishers, ...surveyPublishers(source, found, connection)]);
  };
  source.onSecretChange(({ namespace, name }) => {
    for (const { metadata, spec } of source.brokers.list()) {
      if (spec.secretRef.namespace === namespace && spec.secretRef.name === name)
        brokers.enqueue(metadata.name);
    }
  });
}

/** Edits and deletions go before. */
function resync(controller: Controller, keys: readonly string[]): void {
  for (const key of keys) controller.enqueue(key, { priority: Priority.Resync });
}

/** The subscriptions that name a broker and may use it, as `namespace/name`. */
function usersOf({ subscriptions, brokers }: ResourceSource, broker: string): string[] {
  const resource = brokers.get(broker);
  return subscriptions
    .list()
    .filter(
      (one) =>
        one.spec.brokerRef.name === broker && (resource === undefined || allows(resource, namespaceOf(one))),
    )
    .map(keyOfBound)
    .sort();
}

function* numbersOf(source: ResourceSource): Generator<SubscriptionNumbers> {
  for (const resource of source.subscriptions.list()) {
    const { messages, consumers, replicas, conditions } = resource.status ?? {};
    yield {
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      ready: conditionOf(conditions, 'Ready')?.status === 'True',
      ...(messages === undefined ? {} : { messages }),
      ...(consumers === undefined ? {} : { consumers }),
      ...(replicas === undefined ? {} : { replicas }),
    };
  }
}
