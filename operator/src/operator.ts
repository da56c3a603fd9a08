/**
 * The operator: one controller for EventBrokers and one for EventSubscriptions, over any source of resources.
 *
 * There is no resync of single objects. Every `resyncMs` an EventBroker is reconciled: the broker is asked whether it is
 * there, read as a whole, and what differs is enqueued. A change of a broker's state enqueues its subscriptions once.
 */
import { createController, createManager, Priority } from '@warren/controller';
import type { Controller, ControllerMetrics, LeaderElector, Log, Source } from '@warren/controller';
import { capabilitiesOf as capabilitiesByVersion } from '@warren/topology';
import type { BrokerCapabilities } from '@warren/topology';
import type { Registry } from 'prom-client';
import { connectBroker } from './brokers/client.ts';
import type { ConnectBroker } from './brokers/client.ts';
import type { BrokerConnection } from './brokers/connection.ts';
import { BrokerRegistry } from './brokers/registry.ts';
import { createOperatorMetrics } from './metrics.ts';
import type { SubscriptionNumbers } from './metrics.ts';
import { conditionOf } from './conditions.ts';
import type { ResourceSource } from './source.ts';
import { isClaimed, keyOfSubscription, namespaceOf } from './subscriptions/claims.ts';
import { foreseen, inVain } from './subscriptions/foresight.ts';
import { SubscriptionReconciler } from './subscriptions/reconciler.ts';
import { survey } from './subscriptions/survey.ts';

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
  /** How long a wait queue must not have been needed until it is deleted, in milliseconds; default 180,000. */
  tidyAfterMs?: number;
  shutdownDeadlineMs?: number;
  /** Seams for tests. */
  connect?: ConnectBroker;
  capabilitiesOf?: (version: string) => BrokerCapabilities;
  brokerPauseMs?: { first: number; longest: number };
}

export interface Operator {
  /** Everything that exists has been listed. */
  readonly synced: boolean;
  /** Resolves when the signal aborted and everything has ended; rejects as the manager of @warren/controller does. */
  run(signal: AbortSignal): Promise<void>;
}

/** A reconcile that has not ended by then has its calls aborted. */
const RECONCILE_TIMEOUT_MS = 120_000;

export function createOperator(options: OperatorOptions): Operator {
  const { source, log, workers = 64, resyncMs = 15_000, abandonAfterMs = 600_000 } = options;
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
  const reconciler = new SubscriptionReconciler({
    source,
    registry,
    metrics,
    log,
    maxAgeMs: resyncMs,
    abandonAfterMs,
    lookAgainMs: resyncMs,
    tidyAfterMs: options.tidyAfterMs ?? 180_000,
  });
  const observed = (name: string) =>
    options.metrics === undefined ? {} : { observer: options.metrics.controller(name) };
  const brokers = createController({
    name: 'eventbroker',
    reconcile: (key) => registry.reconcile(key),
    sources: [source.brokers.changes, listed(source.subscriptions.changes)],
    workers: 4,
    log,
    ...observed('eventbroker'),
  });
  const subscriptions = createController({
    name: 'eventsubscription',
    reconcile: (key, context) => reconciler.reconcile(key, context),
    sources: [
      source.subscriptions.changes,
      listed(source.brokers.changes),
      ...(source.bindingChanges === undefined ? [] : [source.bindingChanges]),
    ],
    workers,
    reconcileTimeoutMs: RECONCILE_TIMEOUT_MS,
    log,
    ...observed('eventsubscription'),
  });
  connectControllers(source, registry, brokers, subscriptions, log);
  const manager = createManager({
    controllers: [brokers, subscriptions],
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

/** Nothing of its own. Before both kinds are listed, a broker would be called missing, or a policy needed by nobody. */
function listed({ name, synced }: Source): Source {
  return { name: `${name}, listed`, synced, start: () => undefined, stop: () => Promise.resolve() };
}

/** Who asks whom to look again. */
function connectControllers(
  source: ResourceSource,
  registry: BrokerRegistry,
  brokers: Controller,
  subscriptions: Controller,
  log: Log,
): void {
  registry.isNeeded = (broker) =>
    source.subscriptions.list().some((one) => one.spec.brokerRef.name === broker && isClaimed(one));
  registry.foreseen = (broker, found) => foreseen(source, broker, found);
  registry.askAgain = (broker) => brokers.enqueue(broker);
  registry.onChange((broker) => {
    for (const resource of source.subscriptions.list()) {
      if (resource.spec.brokerRef.name === broker)
        subscriptions.enqueue(keyOfSubscription(resource), { priority: Priority.Resync });
    }
  });
  registry.survey = async (connection: BrokerConnection) => {
    try {
      await connection.refreshStats();
    } catch (error) {
      // The numbers in the status stay as they are.
      log.debug({ broker: connection.name, error: String(error) }, 'the messages could not be counted');
    }
    const { found } = await connection.inventory({ maxAgeMs: Infinity });
    for (const key of survey(source.subscriptions.list(), found, connection))
      subscriptions.enqueue(key, { priority: Priority.Resync });
    await connection.settle(inVain(source, found));
  };
  source.onSecretChange(({ namespace, name }) => {
    for (const { metadata, spec } of source.brokers.list()) {
      if (spec.secretRef.namespace === namespace && spec.secretRef.name === name)
        brokers.enqueue(metadata.name);
    }
  });
}

function* numbersOf(source: ResourceSource): Generator<SubscriptionNumbers> {
  for (const resource of source.subscriptions.list()) {
    const { messages, consumers, conditions } = resource.status ?? {};
    yield {
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      ready: conditionOf(conditions, 'Ready')?.status === 'True',
      ...(messages === undefined ? {} : { messages }),
      ...(consumers === undefined ? {} : { consumers }),
    };
  }
}
