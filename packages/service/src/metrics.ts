/**
 * The metrics of a service. The only module that knows prom-client; everything else gets a {@link Metrics}.
 *
 * | name | labels |
 * |---|---|
 * | http_request_duration_seconds | method, route, status |
 * | warren_events_published_total | type, outcome: published, failed |
 * | warren_event_publish_delay_seconds | |
 * | warren_outbox_backlog, warren_outbox_oldest_age_seconds | |
 * | warren_relay_held_total | code |
 * | warren_events_consumed_total | subscription, type, outcome: handled, duplicate, ignored, failed, postponed, rejected |
 * | warren_event_consume_duration_seconds | subscription, type |
 * | warren_event_consume_delay_seconds | subscription |
 * | warren_consumer_up, warren_consumer_running | subscription |
 * | warren_consumer_retries_total | subscription |
 * | warren_dead_letters_total | subscription, code |
 * | warren_projection_failures_total | |
 * | warren_rebuild_commits_done, warren_rebuild_commits_expected, warren_rebuild_commits_per_second | |
 *
 * plus prom-client's default metrics of the process. Every one has the label `service`. README.md says what each means.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { withTimeLimit } from './time-limit.ts';

/** How the handling of one delivery ended. */
export type ConsumeOutcome = 'handled' | 'duplicate' | 'ignored' | 'failed' | 'postponed' | 'rejected';

/** What the rest of the package reports. */
export interface Metrics {
  request(labels: { method: string; route: string; status: number }, seconds: number): void;
  published(type: string, outcome: 'published' | 'failed'): void;
  /** How long after its append an event was confirmed by the broker. */
  publishDelay(seconds: number): void;
  /** An aggregate could not go on to be published. */
  relayHeld(code: string): void;
  consumed(labels: { subscription: string; type: string; outcome: ConsumeOutcome }, seconds: number): void;
  /** How long after its append the first delivery of an event was begun. */
  consumeDelay(subscription: string, seconds: number): void;
  retried(subscription: string): void;
  deadLettered(subscription: string, code: string): void;
  projectionFailed(): void;
  rebuilding(progress: { done: number; total: number; ratePerSecond: number }): void;
  /** What the consumer gauges ask when they are scraped. */
  watchConsumers(consumers: () => readonly { subscription: string; up: boolean; running: number }[]): void;
  /** What the outbox gauges ask when they are scraped. */
  watchOutbox(backlog: () => Promise<{ count: number; oldestAgeMs: number }>): void;
  /** The page that Prometheus reads. */
  page(): Promise<{ contentType: string; body: string }>;
}

const scrapeLimitMs = 1000;
const delayBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

/** Metrics in a registry of their own, so that several services can live in one process. */
export function createMetrics(service: string, registry = new Registry()): Metrics {
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const request = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time to answer an HTTP request.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const published = new Counter({
    name: 'warren_events_published_total',
    help: 'Events that the relay published, by how it ended.',
    labelNames: ['type', 'outcome'],
    registers,
  });
  const publishDelay = new Histogram({
    name: 'warren_event_publish_delay_seconds',
    help: 'Time from the append of an event to its confirm by the broker.',
    buckets: delayBuckets,
    registers,
  });
  const relayHeld = new Counter({
    name: 'warren_relay_held_total',
    help: 'Times that the relay could not go on with an aggregate, by the code of the error.',
    labelNames: ['code'],
    registers,
  });
  const consumed = new Counter({
    name: 'warren_events_consumed_total',
    help: 'Deliveries handled, by how it ended.',
    labelNames: ['subscription', 'type', 'outcome'],
    registers,
  });
  const consumeTime = new Histogram({
    name: 'warren_event_consume_duration_seconds',
    help: 'Time to handle one delivery.',
    labelNames: ['subscription', 'type'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const consumeDelay = new Histogram({
    name: 'warren_event_consume_delay_seconds',
    help: 'Time from the append of an event to the beginning of its first delivery.',
    labelNames: ['subscription'],
    buckets: delayBuckets,
    registers,
  });
  const retries = new Counter({
    name: 'warren_consumer_retries_total',
    help: 'Deliveries given back to be tried again.',
    labelNames: ['subscription'],
    registers,
  });
  const deadLetters = new Counter({
    name: 'warren_dead_letters_total',
    help: 'Messages that the consumer set aside in failed_events.',
    labelNames: ['subscription', 'code'],
    registers,
  });
  const projectionFailures = new Counter({
    name: 'warren_projection_failures_total',
    help: 'Commits that a projection did not take right after their append; the relay tries again.',
    registers,
  });
  const rebuild = createRebuildGauges(registers);

  return {
    request: (labels, seconds) => {
      request.observe({ ...labels, status: String(labels.status) }, seconds);
    },
    published: (type, outcome) => {
      published.inc({ type, outcome });
    },
    publishDelay: (seconds) => {
      publishDelay.observe(Math.max(0, seconds));
    },
    relayHeld: (code) => {
      relayHeld.inc({ code });
    },
    projectionFailed: () => {
      projectionFailures.inc();
    },
    rebuilding: rebuild,
    watchConsumers: (consumers) => {
      watchConsumers(registry, consumers);
    },
    consumeDelay: (subscription, seconds) => {
      consumeDelay.observe({ subscription }, Math.max(0, seconds));
    },
    consumed: (labels, seconds) => {
      consumed.inc(labels);
      consumeTime.observe({ subscription: labels.subscription, type: labels.type }, seconds);
    },
    retried: (subscription) => {
      retries.inc({ subscription });
    },
    deadLettered: (subscription, code) => {
      deadLetters.inc({ subscription, code });
    },
    watchOutbox: (backlog) => {
      watchOutbox(registry, backlog);
    },
    page: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}

function createRebuildGauges(registers: Registry[]): Metrics['rebuilding'] {
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `warren_rebuild_commits_${name}`, help, registers });
  const done = gauge('done', 'Commits that the rebuild of projections has read.');
  const expected = gauge('expected', 'Commits in the log when the rebuild of projections began.');
  const rate = gauge('per_second', 'Commits a second of the rebuild of projections.');
  return (progress) => {
    done.set(progress.done);
    expected.set(progress.total);
    rate.set(progress.ratePerSecond);
  };
}

function watchConsumers(registry: Registry, consumers: Parameters<Metrics['watchConsumers']>[0]): void {
  const gauge = (name: string, help: string, value: (one: ReturnType<typeof consumers>[number]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['subscription'],
      registers: [registry],
      collect() {
        for (const one of consumers()) this.set({ subscription: one.subscription }, value(one));
      },
    });
  gauge('warren_consumer_up', 'Whether the subscription is being consumed.', ({ up }) => (up ? 1 : 0));
  gauge('warren_consumer_running', 'Handlers that run now.', ({ running }) => running);
}

function watchOutbox(registry: Registry, backlog: Parameters<Metrics['watchOutbox']>[0]): void {
  // Each gauge collects for itself, since prom-client reads them all at once; the question is asked once.
  let asked: ReturnType<typeof backlog> | undefined;
  /** When the oldest commit that was last heard of was appended, by the monotonic clock. */
  let oldestAt: number | undefined;
  const ask = () =>
    (asked ??= withTimeLimit('The outbox backlog', scrapeLimitMs, backlog)
      .then((found) => {
        oldestAt = found.count === 0 ? undefined : performance.now() - found.oldestAgeMs;
        return found;
      })
      .finally(() => (asked = undefined)));
  const gauge = (
    name: string,
    help: string,
    value: (found: Awaited<ReturnType<typeof backlog>>) => number,
    unanswered: () => number,
  ) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.set(await ask().then(value, unanswered));
      },
    });
  gauge(
    'warren_outbox_backlog',
    'Commits that are not published yet; 10,000 when there are more.',
    ({ count }) => count,
    // A statistic that is missing is not a zero.
    () => Number.NaN,
  );
  gauge(
    'warren_outbox_oldest_age_seconds',
    'Age of the oldest of the commits that the backlog counts.',
    ({ oldestAgeMs }) => oldestAgeMs / 1000,
    () => (oldestAt === undefined ? Number.NaN : (performance.now() - oldestAt) / 1000),
  );
}
