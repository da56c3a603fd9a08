/**
 * The metrics of a service. The only module that knows prom-client; everything else gets a {@link Metrics}.
 *
 * | name | labels |
 * |---|---|
 * | http_request_duration_seconds | method, route, status |
 * | warren_events_published_total | type, outcome: published, failed |
 * | warren_events_consumed_total | subscription, type, outcome: handled, duplicate, ignored, failed, rejected |
 * | warren_event_consume_duration_seconds | subscription, type |
 * | warren_consumer_retries_total | subscription |
 * | warren_dead_letters_total | subscription, code |
 * | warren_outbox_backlog, warren_outbox_oldest_age_seconds | |
 *
 * plus prom-client's default metrics of the process.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { withTimeLimit } from './time-limit.ts';

/** How the handling of one delivery ended. */
export type ConsumeOutcome = 'handled' | 'duplicate' | 'ignored' | 'failed' | 'rejected';

/** What the rest of the package reports. */
export interface Metrics {
  request(labels: { method: string; route: string; status: number }, seconds: number): void;
  published(type: string, outcome: 'published' | 'failed'): void;
  consumed(labels: { subscription: string; type: string; outcome: ConsumeOutcome }, seconds: number): void;
  retried(subscription: string): void;
  deadLettered(subscription: string, code: string): void;
  /** What the outbox gauges ask when they are scraped. */
  watchOutbox(backlog: () => Promise<{ count: number; oldestAgeMs: number }>): void;
  /** The page that Prometheus reads. */
  page(): Promise<{ contentType: string; body: string }>;
}

const scrapeLimitMs = 1000;

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

  return {
    request: (labels, seconds) => {
      request.observe({ ...labels, status: String(labels.status) }, seconds);
    },
    published: (type, outcome) => {
      published.inc({ type, outcome });
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

function watchOutbox(
  registry: Registry,
  backlog: () => Promise<{ count: number; oldestAgeMs: number }>,
): void {
  const oldest = new Gauge({
    name: 'warren_outbox_oldest_age_seconds',
    help: 'Age of the oldest commit that is not published yet.',
    registers: [registry],
  });
  new Gauge({
    name: 'warren_outbox_backlog',
    help: 'Commits that are not published yet.',
    registers: [registry],
    async collect() {
      try {
        const { count, oldestAgeMs } = await withTimeLimit('The outbox backlog', scrapeLimitMs, backlog);
        this.set(count);
        oldest.set(oldestAgeMs / 1000);
      } catch {
        // A statistic that is missing is not a zero.
        this.set(Number.NaN);
        oldest.set(Number.NaN);
      }
    },
  });
}
