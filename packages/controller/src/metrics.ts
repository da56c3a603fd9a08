/**
 * Metrics under the names that controller-runtime and client-go use, so that existing dashboards and alerts fit.
 * The only file that knows prom-client.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { ControllerObserver } from './controller.ts';
import type { WorkQueue } from './work-queue.ts';

/** What the HTTP client reports. */
export interface RequestObserver {
  /** `code` is the HTTP status, or `<error>` when there was no answer. */
  finished(request: { method: string; host: string; code: string; seconds: number }): void;
  retried(request: { method: string; host: string; code: string }): void;
}

/** What a reflector reports. */
export interface ReflectorObserver {
  relisted(reason: string): void;
  watchEnded(reason: string): void;
  watch(look: () => ReflectorNumbers): void;
}

export interface ReflectorNumbers {
  objects: number;
  /** Undefined while it does not run: an alert on silence is not for what nobody asks. */
  lastHeardSeconds: number | undefined;
}

export interface ElectionObserver {
  leading(lease: string, leads: boolean): void;
}

export interface EventObserver {
  written(): void;
  /** `reason`: aggregated, limited, failed. */
  dropped(reason: string): void;
}

export interface ControllerMetrics {
  controller(name: string): ControllerObserver;
  requests: RequestObserver;
  reflector(resource: string): ReflectorObserver;
  election: ElectionObserver;
  events: EventObserver;
}

const SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5,
  1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
const QUEUE_SECONDS = [
  1e-6, 1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10, 50, 100, 500, 1000,
];
const REQUEST_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/** Registers the metrics in `registry` (once per registry) and gives back the observers that feed them. */
export function createMetrics(registry: Registry): ControllerMetrics {
  const registers = [registry];
  const controllerQueue = ['name', 'controller'] as const;
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers });

  const queues = new Map<string, WorkQueue>();
  /** A gauge whose values are looked up when it is read. */
  const queueGauge = (name: string, help: string, value: (queue: WorkQueue) => number) =>
    new Gauge({
      name,
      help,
      labelNames: controllerQueue,
      registers,
      collect() {
        for (const [label, queue] of queues) this.set({ name: label, controller: label }, value(queue));
      },
    });

  const reconciles = counter('controller_runtime_reconcile_total', 'Reconciles by result.', [
    'controller',
    'result',
  ]);
  const errors = counter('controller_runtime_reconcile_errors_total', 'Reconciles that failed.', [
    'controller',
  ]);
  const terminal = counter(
    'controller_runtime_terminal_reconcile_errors_total',
    'Reconciles that failed for good.',
    ['controller'],
  );
  const panics = counter(
    'controller_runtime_reconcile_panics_total',
    'Reconciles that threw what is no Error.',
    ['controller'],
  );
  const timeouts = counter(
    'controller_runtime_reconcile_timeouts_total',
    'Reconciles aborted for taking too long.',
    ['controller'],
  );
  const reconcileSeconds = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'How long a reconcile takes.',
    labelNames: ['controller'],
    buckets: SECONDS,
    registers,
  });
  const workers = new Gauge({
    name: 'controller_runtime_max_concurrent_reconciles',
    help: 'Workers of the controller.',
    labelNames: ['controller'],
    registers,
  });
  const active = new Gauge({
    name: 'controller_runtime_active_workers',
    help: 'Workers that are reconciling.',
    labelNames: ['controller'],
    registers,
  });

  queueGauge('workqueue_depth', 'Keys that could be taken now.', (queue) => queue.depth);
  queueGauge(
    'workqueue_unfinished_work_seconds',
    'Seconds of work in progress, summed over the workers.',
    (queue) => queue.workingSeconds.reduce((sum, seconds) => sum + seconds, 0),
  );
  queueGauge(
    'workqueue_longest_running_processor_seconds',
    'Seconds that the longest reconcile in progress has taken.',
    (queue) => Math.max(0, ...queue.workingSeconds),
  );
  const adds = counter('workqueue_adds_total', 'Keys added.', controllerQueue);
  const retries = counter('workqueue_retries_total', 'Keys added again after a failure.', controllerQueue);
  const queueSeconds = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long a key waits before it is taken.',
    labelNames: controllerQueue,
    buckets: QUEUE_SECONDS,
    registers,
  });
  const workSeconds = new Histogram({
    name: 'workqueue_work_duration_seconds',
    help: 'How long a key is being worked on.',
    labelNames: controllerQueue,
    buckets: QUEUE_SECONDS,
    registers,
  });

  const requests = counter('rest_client_requests_total', 'Requests to the API server.', [
    'code',
    'method',
    'host',
  ]);
  const requestRetries = counter('rest_client_request_retries_total', 'Requests sent again.', [
    'code',
    'verb',
    'host',
  ]);
  const requestSeconds = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'How long a request to the API server takes; a watch until its headers.',
    labelNames: ['verb', 'host'],
    buckets: REQUEST_SECONDS,
    registers,
  });

  const looks = new Map<string, () => ReflectorNumbers>();
  const relists = counter('reflector_relists_total', 'Lists of everything.', ['resource', 'reason']);
  const watchEnds = counter('reflector_watch_ends_total', 'Watches that ended.', ['resource', 'reason']);
  new Gauge({
    name: 'reflector_objects',
    help: 'Objects in the store.',
    labelNames: ['resource'],
    registers,
    collect() {
      for (const [resource, look] of looks) this.set({ resource }, look().objects);
    },
  });
  new Gauge({
    name: 'reflector_last_heard_seconds',
    help: 'Seconds since the API server last said anything, bookmarks included. No value while nothing is watched.',
    labelNames: ['resource'],
    registers,
    collect() {
      for (const [resource, look] of looks) {
        const { lastHeardSeconds } = look();
        if (lastHeardSeconds === undefined) this.remove({ resource });
        else this.set({ resource }, lastHeardSeconds);
      }
    },
  });

  const master = new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this process leads.',
    labelNames: ['name'],
    registers,
  });
  const eventsWritten = counter('event_recorder_events_total', 'Events written.', []);
  const eventsDropped = counter('event_recorder_dropped_total', 'Events not written.', ['reason']);

  return {
    controller: (controller) => {
      const name = { name: controller, controller };
      const label = { controller };
      for (const result of ['success', 'requeue', 'requeue_after', 'error'])
        reconciles.inc({ controller, result }, 0);
      for (const one of [errors, terminal, panics, timeouts]) one.inc(label, 0);
      return {
        watch: (queue, count) => {
          queues.set(controller, queue);
          workers.set(label, count);
          active.set(label, 0);
        },
        started: () => active.inc(label),
        finished: (result, seconds, what) => {
          active.dec(label);
          reconciles.inc({ controller, result });
          reconcileSeconds.observe(label, seconds);
          if (result === 'error') errors.inc(label);
          if (what.terminal) terminal.inc(label);
          if (what.timedOut) timeouts.inc(label);
          if (what.panicked) panics.inc(label);
        },
        queue: {
          added: () => adds.inc(name),
          retried: () => retries.inc(name),
          taken: (seconds) => queueSeconds.observe(name, seconds),
          finished: (seconds) => workSeconds.observe(name, seconds),
        },
      };
    },
    requests: {
      finished: ({ method, host, code, seconds }) => {
        requests.inc({ method, host, code });
        requestSeconds.observe({ verb: method, host }, seconds);
      },
      retried: ({ method, host, code }) => requestRetries.inc({ verb: method, host, code }),
    },
    reflector: (resource) => ({
      relisted: (reason) => relists.inc({ resource, reason }),
      watchEnded: (reason) => watchEnds.inc({ resource, reason }),
      watch: (look) => looks.set(resource, look),
    }),
    election: { leading: (name, leads) => master.set({ name }, leads ? 1 : 0) },
    events: {
      written: () => eventsWritten.inc(),
      dropped: (reason) => eventsDropped.inc({ reason }),
    },
  };
}
