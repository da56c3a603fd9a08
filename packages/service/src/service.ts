/**
 * `startService`: one call that makes a service out of its definition.
 *
 * The order of the start: settings, telemetry, HTTP (so that `/livez` answers at once), then the database until it is
 * there, the collections and indexes until it has them, the relay, the consumers. Until it is prepared the routes
 * answer 503.
 * A broker or binding that is away holds nothing up: readiness says so, and everything else works.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createEventStore, createInbox, createRelay } from '@warren/event-store';
import { z } from 'zod';
import type { BrokerAccess } from './binding.ts';
import type { BindingWatch } from './binding-watch.ts';
import { createDatabase, createDatabaseCheck, openDatabase } from './database.ts';
import { consumerOf } from './definition.ts';
import type { App, ServiceDefinition } from './definition.ts';
import { createDeliveryHandler } from './delivery.ts';
import { createEffects, executeCommand } from './effects.ts';
import { createHealth, healthChecks } from './health.ts';
import type { Check } from './health.ts';
import { createHttpApp } from './http.ts';
import { createIdempotency } from './idempotency.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { followPublisherBinding } from './publisher-binding.ts';
import { createPublishing } from './publishing.ts';
import { createRelayObserver } from './relay-observer.ts';
import { startServer } from './server.ts';
import { readSettings } from './settings.ts';
import type { Environment } from './settings.ts';
import { runShutdown } from './shutdown.ts';
import type { ShutdownOutcome, ShutdownStep } from './shutdown.ts';
import { createSubscription } from './subscription.ts';
import { startTelemetry } from './telemetry.ts';
import { activeTrace } from './trace-context.ts';
import { isUnavailable } from './unavailable.ts';

/** How a service is started; all of it has defaults. */
export interface StartOptions {
  /** The process's own environment. */
  readonly env?: Environment;
  /** Whether SIGTERM and SIGINT stop the service and end the process; no. */
  readonly signals?: boolean;
}

/** A running service. */
export interface Service extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  /** Graceful, within SHUTDOWN_DEADLINE_MS. Never rejects; a second call waits for the first. */
  stop(): Promise<ShutdownOutcome>;
}

/**
 * Starts a service and waits until its database is prepared.
 *
 * @throws {SettingsError} before anything was started; what the listening socket says when the port is taken
 */
export async function startService<Own extends z.ZodRawShape>(
  definition: ServiceDefinition<Own>,
  { env = process.env, signals = false }: StartOptions = {},
): Promise<Service> {
  const { name, catalogue } = definition;
  const settings = readSettings(definition.settings ?? (z.object({}) as z.ZodObject<Own>), env);
  const telemetry = await startTelemetry(name, env);
  const log = createLog(name, settings.LOG_LEVEL);
  const metrics = createMetrics(name);
  const database = createDatabase();
  const checkDatabase = createDatabaseCheck(database);
  const store = createEventStore({
    connection: database,
    catalogue,
    source: name,
    projections: [...(definition.projections ?? [])],
    captureTrace: activeTrace,
    onProjectionError: (error, commit) => {
      metrics.projectionFailed();
      log.warn({ err: error, commit: commit.id }, 'a projection is late; the relay applies it');
    },
  });
  const inbox = createInbox({ connection: database });
  const idempotency = createIdempotency(database, name, {
    ttlMs: settings.IDEMPOTENCY_TTL_MS,
    leaseMs: 30_000,
  });
  const publishing = createPublishing({ service: name, metrics, log });
  const relay = createRelay({
    store,
    publish: (event) => publishing.publish(event),
    unroutable: 'hold',
    observer: createRelayObserver(metrics, log),
  });
  metrics.watchOutbox(() => relay.backlog());

  const app: App<z.infer<z.ZodObject<Own>>> = {
    name,
    settings,
    log,
    database,
    store,
    execute: (decider, aggregateId, command, options) =>
      executeCommand(store, decider, aggregateId, command, options?.once).then(({ state }) => state),
  };
  const parts = definition.parts?.(app) ?? {};
  /** Without RABBITMQ_URL, the broker of the first subscription that has one, in the order of the definition. */
  const brokers = new Map<string, BrokerAccess>();
  const followFirst = (subscription: string, broker: BrokerAccess | undefined) => {
    if (settings.RABBITMQ_URL !== undefined) return;
    if (broker === undefined) brokers.delete(subscription);
    else brokers.set(subscription, broker);
    const first = Object.keys(parts.consumers ?? {}).find((name) => brokers.has(name));
    const next = first === undefined ? undefined : brokers.get(first);
    // With no binding left it goes on with what it had, as long as that holds.
    if (next !== undefined) publishing.use(next);
  };
  const subscriptions = Object.entries(parts.consumers ?? {}).map(([subscription, given]) => {
    const { inbox: claimant, handlers } = consumerOf(subscription, given);
    return createSubscription({
      service: name,
      name: subscription,
      root: settings.SERVICE_BINDING_ROOT,
      pollMs: settings.BINDING_POLL_MS,
      handlerTimeoutMs: settings.HANDLER_TIMEOUT_MS,
      checkDatabase,
      handle: createDeliveryHandler({
        subscription,
        handlers,
        catalogue,
        metrics,
        log,
        effects: createEffects({
          subscription,
          claimant,
          store,
          inbox,
          handlerTimeoutMs: settings.HANDLER_TIMEOUT_MS,
          log,
        }),
      }),
      onBroker: followFirst,
      metrics,
      log,
    });
  });

  metrics.watchConsumers(() => subscriptions.map((one) => ({ subscription: one.name, ...one.status() })));

  let publisherBinding: BindingWatch | undefined;
  let prepared = false;
  let draining = false;
  const ending = new AbortController();
  const checks = (): Record<string, Check> => ({
    mongodb: async () => {
      await checkDatabase();
      if (!prepared) throw new Error('The collections are not prepared yet.');
    },
    rabbitmq: () => {
      publishing.check();
    },
    ...Object.fromEntries(subscriptions.map((one) => [`consumer ${one.name}`, () => one.check()])),
  });

  const before: ShutdownStep[] = [
    { name: 'going on while load balancers notice', run: () => delay(settings.SHUTDOWN_DELAY_MS) },
    {
      name: 'stopping the consumers',
      run: async (leftMs) => {
        await Promise.all(subscriptions.map((one) => one.stop(leftMs * 0.6)));
      },
    },
  ];
  const after: ShutdownStep[] = [
    {
      name: 'publishing what is left',
      run: async (leftMs) => {
        if (prepared) await relay.drain(leftMs * 0.6);
      },
    },
    { name: 'stopping the relay', run: () => relay.stop() },
    {
      name: 'closing the broker connections',
      run: (leftMs) => {
        publisherBinding?.stop();
        return publishing.close(Math.min(leftMs * 0.5, 5000));
      },
    },
    { name: 'closing what the service opened', run: async () => parts.dispose?.() },
    { name: 'closing the database', run: () => database.close() },
    { name: 'sending the last spans', run: (leftMs) => telemetry.stop(Math.min(leftMs * 0.8, 3000)) },
  ];
  const startDraining = () => {
    draining = true;
    ending.abort(new Error('The service is stopping.'));
  };

  const server = await startServer({
    app: createHttpApp({
      name,
      version: '1.0.0',
      routes: parts.routes ?? [],
      metrics,
      log,
      idempotency,
      isReady: () => prepared,
      timeLimitMs: settings.REQUEST_TIMEOUT_MS,
    }),
    port: settings.PORT,
    host: settings.HOST,
    health: healthChecks(createHealth(checks), () => draining),
    isDraining: () => draining,
    graceMs: Math.max(settings.SHUTDOWN_DEADLINE_MS / 4, 50),
    onSignal: signals ? signalled() : undefined,
  }).catch(async (error: unknown) => {
    // Nothing else was begun yet.
    await parts.dispose?.();
    await telemetry.stop(0);
    throw error;
  });
  const { RABBITMQ_URL: uri, SERVICE_BINDING_ROOT: root, BINDING_POLL_MS: pollMs } = settings;
  if (uri !== undefined) publishing.use({ uri, exchange: settings.EVENTS_EXCHANGE });
  else if (subscriptions.length === 0 && root !== undefined) {
    const use = (broker: BrokerAccess) => {
      publishing.use(broker);
    };
    publisherBinding = followPublisherBinding({ root, name, pollMs, log, use });
  }

  /** A signal ends the process: by terminus when all went well, by the deadline when not. */
  function signalled() {
    let began = 0;
    const left = () => settings.SHUTDOWN_DEADLINE_MS - (performance.now() - began);
    const end = (outcome: ShutdownOutcome) => {
      if (outcome.failed.length > 0) process.exitCode = 1;
      return outcome;
    };
    return {
      before: async () => {
        began = performance.now();
        startDraining();
        log.info('stopping');
        setTimeout(() => {
          log.fatal({ deadlineMs: settings.SHUTDOWN_DEADLINE_MS }, 'the deadline of the shutdown has passed');
          process.exit(1);
        }, settings.SHUTDOWN_DEADLINE_MS + 500).unref();
        end(await runShutdown(before, left(), log));
      },
      after: async () => {
        const outcome = end(await runShutdown(after, left(), log));
        log.info({ ms: Math.round(performance.now() - began) }, 'stopped');
        // terminus would exit with 0 whatever happened.
        if (outcome.failed.length > 0 || process.exitCode === 1) process.exit(1);
      },
    };
  }

  const stopAll = async (): Promise<ShutdownOutcome> => {
    server.ignoreSignals();
    startDraining();
    const steps = [...before, { name: 'finishing requests', run: () => server.stop() }, ...after];
    return runShutdown(steps, settings.SHUTDOWN_DEADLINE_MS, log);
  };
  let stopped: Promise<ShutdownOutcome> | undefined;
  const service: Service = {
    name,
    url: server.url,
    stop: () => (stopped ??= stopAll()),
    [Symbol.asyncDispose]: async () => {
      await service.stop();
    },
  };
  log.info({ url: server.url }, 'listening');

  /** Whether it is done: the database may go away in the middle of it, and every step may be repeated. */
  async function prepare(): Promise<boolean> {
    try {
      await store.init({
        signal: ending.signal,
        onProgress: (progress) => {
          metrics.rebuilding(progress);
          log.info({ ...progress }, 'rebuilding read models');
        },
      });
      await inbox.init();
      await idempotency.init();
      await parts.prepare?.();
      return true;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      log.warn({ err: error }, 'the database cannot be prepared yet');
      return false;
    }
  }

  try {
    await openDatabase(database, settings.MONGODB_URL, name, log, ending.signal);
    while (!(await prepare())) await sleep(1000, undefined, { signal: ending.signal });
    prepared = true;
    relay.start();
    for (const one of subscriptions) one.start();
  } catch (error) {
    // A stop during the start is no failure of the start.
    if (!ending.signal.aborted) {
      await service.stop();
      throw error;
    }
  }
  return service;
}

function delay(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
