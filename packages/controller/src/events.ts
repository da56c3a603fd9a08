/**
 * Tells people what happened to an object: events.k8s.io/v1 Events, which `kubectl describe` and `kubectl get events` show.
 *
 * Recording is free: `event` returns at once, never throws, and makes no request while nothing changes.
 * - The same thing said again (object, type, reason, action, message) is counted, not written; every `seriesEveryMs` (10
 *   min) at most, one request brings the count of the series up to date. After so long a silence it is news again.
 * - One object can say 25 different things at once and then one every 5 minutes; the rest is dropped.
 * - All objects together can say 50 at once and then 10 a second; what is more waits, 1,000 at most, warnings before the rest.
 * What cannot be written is logged and forgotten: an event is a courtesy.
 */
import { sleep, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import type { Cluster } from './cluster.ts';
import { ForbiddenError, NotFoundError } from './errors.ts';
import { microTime } from './leader-election.ts';
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { EventObserver } from './metrics.ts';
import { resources } from './object.ts';
import type { KubernetesObject } from './object.ts';
import { TokenBucket } from './rate-limiter.ts';
import type { ResourceClient } from './resource-client.ts';

export interface NewEvent {
  type: 'Normal' | 'Warning';
  /** One CamelCase word. */
  reason: string;
  /** A sentence. What varies from one time to the next (counts, times) does not belong in it: it would be another event. */
  message: string;
  /** What the controller did or tried, one CamelCase word; default: the reason. */
  action?: string;
}

export interface EventRecorder extends AsyncDisposable {
  event(regarding: KubernetesObject, event: NewEvent): void;
  /** Resolves when all that was recorded so far has been written or dropped. */
  flush(): Promise<void>;
  /** Writes what waits, for at most `deadlineMs` (default 5,000), and ends. */
  stop(options?: { deadlineMs?: number }): Promise<void>;
}

export interface EventRecorderOptions {
  cluster: Pick<Cluster, 'resource'>;
  /** `warren.events/operator`: a qualified name. */
  controller: string;
  /** Which of its processes; the pod's name. */
  instance: string;
  seriesEveryMs?: number;
  observer?: EventObserver;
  log?: Log;
  clock?: Clock;
}

type KubernetesEvent = KubernetesObject & Record<string, unknown>;

/** One thing that was said, maybe more than once. */
interface Series {
  regarding: KubernetesObject;
  event: NewEvent;
  count: number;
  /** How much of the count the API server knows. */
  writtenCount: number;
  lastAt: Date;
  /** On the monotonic clock. */
  saidAt: number;
  writtenAt: number;
  /** Of the Event object, once there is one. */
  name: string | undefined;
  queued: boolean;
}

const WAITING = 1000;
const REMEMBERED = 4096;
const PER_OBJECT = { perSecond: 1 / 300, burst: 25 };
const OVERALL = { perSecond: 10, burst: 50 };

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #events: ResourceClient<KubernetesEvent>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #everyMs: number;
  /** Least recently said first. */
  readonly #series = new Map<string, Series>();
  readonly #perObject = new Map<string, TokenBucket>();
  readonly #overall: TokenBucket;
  readonly #waiting: Series[] = [];
  readonly #stopping = new AbortController();
  #writing: Promise<void> | undefined;
  #cancelSweep: (() => void) | undefined;
  #sequence = 0;
  #stopped = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#events = options.cluster.resource<KubernetesEvent>(resources.events);
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#everyMs = options.seriesEveryMs ?? 600_000;
    this.#overall = new TokenBucket({ ...OVERALL, clock: this.#clock });
  }

  event(regarding: KubernetesObject, event: NewEvent): void {
    if (this.#stopped) return;
    const { uid = '', name, namespace = '' } = regarding.metadata;
    const object = `${uid}/${namespace}/${name}`;
    const key = [object, event.type, event.reason, event.action ?? '', event.message].join('\0');
    const now = this.#clock.now();
    const known = this.#series.get(key);
    // Set again below: the map is in the order of speaking.
    this.#series.delete(key);
    if (known !== undefined && (known.queued || now - known.saidAt < this.#everyMs)) {
      this.#series.set(key, known);
      known.count += 1;
      known.lastAt = this.#clock.date();
      known.saidAt = now;
      this.#options.observer?.dropped('aggregated');
      this.#sweepLater();
      return;
    }
    if (!this.#allowed(object)) {
      this.#options.observer?.dropped('limited');
      return;
    }
    const series: Series = {
      regarding: identityOf(regarding),
      event,
      count: 1,
      writtenCount: 0,
      lastAt: this.#clock.date(),
      saidAt: now,
      writtenAt: now,
      name: undefined,
      queued: false,
    };
    this.#series.set(key, series);
    const [eldest] = this.#series.keys();
    if (this.#series.size > REMEMBERED && eldest !== undefined) this.#series.delete(eldest);
    this.#enqueue(series);
  }

  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async stop({ deadlineMs = 5000 } = {}): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    const cancel = this.#clock.after(deadlineMs, () => this.#stopping.abort());
    await this.flush();
    cancel();
    this.#stopping.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #allowed(object: string): boolean {
    const bucket = this.#perObject.get(object) ?? new TokenBucket({ ...PER_OBJECT, clock: this.#clock });
    this.#perObject.delete(object);
    this.#perObject.set(object, bucket);
    const [eldest] = this.#perObject.keys();
    if (this.#perObject.size > REMEMBERED && eldest !== undefined) this.#perObject.delete(eldest);
    return bucket.tryTake();
  }

  #enqueue(series: Series): void {
    if (series.queued) return;
    const firstNormal = this.#waiting.findIndex(({ event }) => event.type === 'Normal');
    const at = series.event.type === 'Normal' || firstNormal < 0 ? this.#waiting.length : firstNormal;
    series.queued = true;
    this.#waiting.splice(at, 0, series);
    if (this.#waiting.length > WAITING) {
      const left = this.#waiting.pop();
      if (left !== undefined) left.queued = false;
      this.#options.observer?.dropped('limited');
    }
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    for (let series = this.#waiting.shift(); series !== undefined; series = this.#waiting.shift()) {
      await sleep(this.#clock, this.#overall.reserve(), this.#stopping.signal);
      if (this.#stopping.signal.aborted) {
        this.#waiting.length = 0;
        break;
      }
      series.queued = false;
      series.writtenAt = this.#clock.now();
      const { count } = series;
      try {
        await this.#writeOne(series);
        series.writtenCount = count;
        this.#options.observer?.written();
      } catch (error) {
        this.#options.observer?.dropped('failed');
        // A namespace that is being deleted takes no events: nothing is wrong.
        const level = error instanceof ForbiddenError || error instanceof NotFoundError ? 'debug' : 'warn';
        this.#log[level](describeError(error), 'an event could not be written');
      }
    }
    // Here, and not when the promise is settled: what is recorded in between would wait for the next event.
    this.#writing = undefined;
  }

  async #writeOne(series: Series): Promise<void> {
    const call = { signal: this.#stopping.signal, timeoutMs: 10_000, attempts: 3 };
    const namespace = namespaceOf(series.regarding);
    const lastObservedTime = microTime(series.lastAt);
    if (series.name !== undefined) {
      try {
        const patch = { series: { count: series.count, lastObservedTime } };
        await this.#events.mergePatch({ namespace, name: series.name }, patch, call);
        return;
      } catch (error) {
        // The API server keeps events for an hour: tell it anew.
        if (!(error instanceof NotFoundError)) throw error;
      }
    }
    const event = this.#eventOf(series, namespace, lastObservedTime);
    await this.#events.create(event, call);
    series.name = event.metadata.name;
  }

  #eventOf({ regarding, event, count }: Series, namespace: string, eventTime: string): KubernetesEvent {
    const unique = `${this.#clock.date().getTime().toString(16)}${(this.#sequence += 1).toString(16).padStart(4, '0')}`;
    return {
      metadata: { namespace, name: `${regarding.metadata.name.slice(0, 220)}.${unique}` },
      eventTime,
      type: event.type,
      reason: event.reason.slice(0, 128),
      action: (event.action ?? event.reason).slice(0, 128),
      note: clip(event.message, 1024),
      regarding: {
        apiVersion: regarding.apiVersion,
        kind: regarding.kind,
        name: regarding.metadata.name,
        namespace: regarding.metadata.namespace,
        uid: regarding.metadata.uid,
      },
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance.slice(0, 128),
      ...(count > 1 ? { series: { count, lastObservedTime: eventTime } } : {}),
    };
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#clock.after(this.#everyMs, () => {
      this.#cancelSweep = undefined;
      let more = false;
      for (const series of this.#series.values()) {
        if (series.count === series.writtenCount || series.queued) continue;
        if (this.#clock.now() - series.writtenAt >= this.#everyMs) this.#enqueue(series);
        else more = true;
      }
      if (more) this.#sweepLater();
    });
  }
}

/** Only what an event needs: the rest of the object must not be kept alive. */
function identityOf({
  apiVersion,
  kind,
  metadata: { name, namespace, uid },
}: KubernetesObject): KubernetesObject {
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
  };
}

/** Events about what has no namespace are in `default`. */
function namespaceOf({ metadata: { namespace } }: KubernetesObject): string {
  return namespace === undefined || namespace === '' ? 'default' : namespace;
}

/** At most so many bytes, not cutting a character. */
function clip(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  return `${Buffer.from(text)
    .subarray(0, bytes - 3)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}
