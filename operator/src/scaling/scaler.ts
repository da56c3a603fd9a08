/**
 * Scales consumers: sees what their queues do, says in the status how many replicas there should be, and gives an engine an
 * object that makes it so.
 *
 *   statistics (every 5 s, one listing a broker) ─▶ meter ─▶ demand ─▶ status ─▶ external metrics API ─▶ autoscaler ─▶ replicas
 *
 * Only to zero and from zero goes the operator itself, where the engine is a HorizontalPodAutoscaler: that one knows no zero.
 * All other numbers are the engine's to set, so a hand or another tool is never fought over them.
 */
import { isDeepStrictEqual } from 'node:util';
import { ConflictError } from '@warren/controller';
import type { Log, ReconcileContext, Result } from '@warren/controller';
import type { BrokerRegistry } from '../brokers/registry.ts';
import { conditionOf } from '../conditions.ts';
import type { ServingKeeper } from '../external-metrics/serving.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isDeleting, keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import { isHandsOff, isPaused } from '../subscriptions/hands-off.ts';
import { othersIn } from '../subscriptions/others.ts';
import { limitsOf, unknown } from './demand.ts';
import type { Limits } from './demand.ts';
import { engineObject, quietSeconds } from './engines.ts';
import type { Engine, EngineObject } from './engines.ts';
import { Meter, queuesOf } from './meter.ts';
import { Refusals } from './refusals.ts';
import type { ScalingCluster } from './scaling-cluster.ts';
import { followed, isSaid, refused, settled, storyOfScaling } from './state.ts';
import type { ScalingState } from './state.ts';

export interface ScalerOptions {
  source: ResourceSource;
  registry: BrokerRegistry;
  platform: ScalingCluster;
  metricsApi: Pick<ServingKeeper, 'apiService' | 'onApiServiceChange'>;
  /** `http://warren.warren-system.svc/scaling`: where KEDA reads. */
  url: string;
  log: Log;
  /** How often a subscription is looked at although nothing changed: milliseconds; default 60,000. */
  lookAgainMs?: number;
  /** Milliseconds of a clock that only goes on. Seam for tests. */
  now?: () => number;
  /** How often the broker's statistics are read: milliseconds; default 5,000, as often as RabbitMQ counts. */
  sampleMs?: number;
}

type Context = Pick<ReconcileContext, 'signal'>;

const SAMPLE_MS = 5_000;
const FRESH_MS = 2 * SAMPLE_MS;
/** Besides every change: what is installed may have changed. */
const LOOK_AGAIN_MS = 60_000;
const OTHER: Record<Engine, Engine> = { Hpa: 'Keda', Keda: 'Hpa' };

export class Scaler {
  readonly #options: ScalerOptions;
  readonly #now: () => number;
  readonly #meter: Meter;
  readonly #refusals: Refusals;
  readonly #states = new Map<string, ScalingState>();
  readonly #sampled = new Set<string>();
  readonly #course = new Map<string, 'up' | 'down'>();
  /** Since when nothing is needed: milliseconds. */
  readonly #idleSince = new Map<string, number>();
  #index: { revision: number; byConsumer: Map<string, SubscriptionResource[]> } | undefined;
  /** Set by the operator: asks for a subscription's status to be written. */
  say: (key: string) => void = () => undefined;
  /** Set by the operator: asks for a broker's statistics to be read. */
  sampleSoon: (broker: string) => void = () => undefined;
  /** Set by the operator: asks for a subscription to be looked at. */
  lookAt: (key: string) => void = () => undefined;

  constructor(options: ScalerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#meter = new Meter(this.#now);
    this.#refusals = new Refusals(this.#now);
  }

  /** Undefined while nothing is known: what was said before stays. */
  stateOf(resource: SubscriptionResource): ScalingState | undefined {
    return this.#states.get(keyOfBound(resource));
  }

  /** Something that concerns all of them has changed. */
  lookAtAll(): void {
    for (const [key] of this.#states) this.lookAt(key);
  }

  /** The subscriptions that a workload consumes for. */
  *consumersOf(workload: { kind: string; namespace: string; name: string }): Generator<string> {
    for (const resource of this.#byConsumer().get(consumerKey(workload)) ?? []) yield keyOfBound(resource);
  }

  async reconcile(key: string, { signal }: Context): Promise<Result> {
    const { source, platform } = this.#options;
    const resource = source.subscriptions.get(key);
    // What the engine was given goes with its owner.
    if (resource === undefined || isDeleting(resource)) return this.#forget(key);
    if (isPaused(resource)) return {};
    const limits = this.#isLetGo(resource) ? undefined : limitsOf(resource.spec);
    if (limits === undefined) {
      for (const engine of ['Hpa', 'Keda'] as const) await platform.remove(engine, resource, signal);
      return this.#forget(key);
    }
    const broker = resource.spec.brokerRef.name;
    if (!this.#sampled.has(broker)) {
      this.#sampled.add(broker);
      this.sampleSoon(broker);
    }
    const state = await this.#follow(resource, limits, signal);
    if (state !== undefined) this.#conclude(resource, settled(state, resource.status));
    return { requeueAfterMs: this.#options.lookAgainMs ?? LOOK_AGAIN_MS };
  }

  /** Reads what the queues of a broker's scaled subscriptions do, for as long as there are some. */
  async sample(broker: string, { signal }: Context): Promise<Result> {
    const { source, registry, platform, log, sampleMs = SAMPLE_MS } = this.#options;
    const scaled = source.subscriptions
      .list()
      .filter(({ spec }) => spec.scaling !== undefined && spec.brokerRef.name === broker)
      .filter((resource) => !isDeleting(resource));
    if (scaled.length === 0) {
      this.#sampled.delete(broker);
      return {};
    }
    const began = this.#now();
    const state = registry.stateOf(broker);
    if (state.state === 'up') {
      const { capabilities } = state.connection;
      const all = scaled.map((resource) => ({ resource, queues: queuesOf(resource, capabilities) }));
      const names = all.flatMap(({ queues }) => [...queues.consumed, ...queues.waits]);
      try {
        const activity = await state.connection.activityOf(names, signal);
        for (const { resource, queues } of all) {
          const replicas = platform.replicasOf(resource);
          if (replicas !== undefined) this.#meter.see(resource, queues, activity, replicas);
        }
      } catch (error) {
        signal.throwIfAborted();
        // What is not told for a while is said by the demand itself.
        log.debug({ broker, error: String(error) }, 'what the queues do could not be read');
      }
    }
    for (const resource of scaled) if (this.#isNews(resource)) this.lookAt(keyOfBound(resource));
    // A broker that takes its time is not asked without a pause.
    return { requeueAfterMs: Math.max(sampleMs, 4 * (this.#now() - began)) };
  }

  async #follow(
    resource: SubscriptionResource,
    limits: Limits,
    signal: AbortSignal,
  ): Promise<ScalingState | undefined> {
    const { platform, url } = this.#options;
    const older = this.#olderOfSameConsumer(resource);
    const installed = await platform.engines(signal);
    const { engine: wish = 'Auto' } = resource.spec.scaling ?? {};
    const engine = wish === 'Auto' ? (installed.keda ? 'Keda' : 'Hpa') : wish;
    if (older !== undefined || (engine === 'Keda' && !installed.keda)) {
      for (const one of ['Hpa', 'Keda'] as const) await platform.remove(one, resource, signal);
      return older === undefined
        ? refused(
            'KedaNotInstalled',
            'the cluster has no ScaledObjects: install KEDA, or write engine: Auto or Hpa',
          )
        : refused(
            'ConsumerTaken',
            `${describeConsumer(resource)} follows EventSubscription ${older} already, which is older: scale by one of them`,
          );
    }
    const wanted = engineObject(engine, resource, limits, { url, tolerance: installed.tolerance });
    // Two of them would pull at one workload.
    const other = await platform.remove(OTHER[engine], resource, signal);
    const outgrown = await platform.remove(engine, resource, signal, wanted.metadata.name);
    // KEDA refuses the second of two. The watch says when the first is gone.
    if (engine === 'Keda' && (other || outgrown)) return undefined;
    const refusal = await this.#give(engine, wanted, keyOfBound(resource), signal);
    if (refusal !== undefined) return refusal;
    const current = platform.replicasOf(resource);
    if (current === undefined)
      return followed(
        engine,
        unknown('ConsumerMissing', `there is no ${describeConsumer(resource)}`),
        current,
      );
    const demand = this.#meter.demandOf(resource);
    if (demand === undefined) return undefined;
    if (engine === 'Hpa') {
      // First: to be woken, a workload needs nobody else.
      await this.#crossZero(resource, limits, current, demand.replicas, signal);
      const notServed = this.#apiServiceRefusal();
      if (notServed !== undefined) return notServed;
      if (this.#options.metricsApi.apiService.is === 'unknown' && isRefusedForApi(resource)) return undefined;
    }
    return followed(engine, demand, current);
  }

  /** Undefined once the engine has it. */
  async #give(
    engine: Engine,
    wanted: EngineObject,
    key: string,
    signal: AbortSignal,
  ): Promise<ScalingState | undefined> {
    const standing = this.#refusals.standing(key, wanted);
    if (standing !== undefined) return standing;
    try {
      const outcome = await this.#options.platform.apply(engine, wanted, signal);
      this.#refusals.forget(key);
      const { kind, metadata } = wanted;
      return outcome === 'taken'
        ? refused('AutoscalerTaken', `there is another ${kind} named ${metadata.name}: rename or remove it`)
        : undefined;
    } catch (error) {
      const refusal = this.#refusals.add(key, wanted, error);
      if (refusal === undefined) throw error;
      return refusal;
    }
  }

  #apiServiceRefusal(): ScalingState | undefined {
    const found = this.#options.metricsApi.apiService;
    if (found.is === 'missing')
      return refused(
        'MetricsApiMissing',
        'no APIService leads external.metrics.k8s.io to the operator: install the chart with scaling.apiService=true',
      );
    if (found.is === 'foreign')
      return refused(
        'MetricsApiTaken',
        `external.metrics.k8s.io is served by ${found.service}, and a cluster has one for all: use engine Keda, or remove it`,
      );
    return undefined;
  }

  /** See the header. Down only after it was idle as long as the engine waits before every other step down. */
  async #crossZero(
    resource: SubscriptionResource,
    limits: Limits,
    current: number,
    desired: number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const key = keyOfBound(resource);
    if (desired !== 0) this.#idleSince.delete(key);
    if (limits.min > 0 || desired === undefined) return;
    const { platform } = this.#options;
    try {
      if (current === 0 && desired > 0) await platform.scale(resource, desired, signal);
      if (current !== 1 || desired !== 0) return;
      const since = this.#idleSince.get(key) ?? this.#now();
      this.#idleSince.set(key, since);
      const isIdle = this.#now() - since >= quietSeconds(limits) * 1_000;
      // The last replica goes upon news alone, not upon what was true half a minute ago.
      if (isIdle && this.#meter.hasSeenWithin(key, FRESH_MS)) await platform.scale(resource, 0, signal);
    } catch (error) {
      // The workload changed meanwhile: the watch tells how, and this comes again.
      if (!(error instanceof ConflictError)) throw error;
    }
  }

  #conclude(resource: SubscriptionResource, state: ScalingState): void {
    const { source, log } = this.#options;
    const key = keyOfBound(resource);
    const asked = this.#states.get(key);
    this.#states.set(key, state);
    // Once is enough, though the status may not be written for a while (the broker does not answer): who is asked to write it
    // has this looked at again, and the two would go round for ever.
    if (isSaid(state, resource.status) || isDeepStrictEqual(asked, state)) return;
    const story = storyOfScaling(resource.status, state, this.#course, key);
    if (story !== undefined) {
      source.tell(resource, story);
      log.info({ subscription: key, reason: story.reason }, story.message);
    }
    this.say(key);
  }

  #isNews(resource: SubscriptionResource): boolean {
    const demand = this.#meter.demandOf(resource);
    const said = this.#states.get(keyOfBound(resource));
    if (demand === undefined || said === undefined) return true;
    // Who waits for its time to go to zero is looked at each time.
    if (demand.replicas === 0 && said.replicas?.current === 1) return true;
    return demand.replicas !== said.replicas?.desired || demand.reason !== said.condition.reason;
  }

  #forget(key: string): Result {
    this.#meter.forget(key);
    this.#refusals.forget(key);
    this.#course.delete(key);
    this.#idleSince.delete(key);
    this.#states.delete(key);
    return {};
  }

  /** Unmanaged, or another subscription has taken over. */
  #isLetGo(resource: SubscriptionResource): boolean {
    const { subscriptions } = this.#options.source;
    return !isPaused(resource) && isHandsOff(resource, othersIn(subscriptions));
  }

  /** `namespace/name` of the oldest other one that scales the same workload. */
  #olderOfSameConsumer(resource: SubscriptionResource): string | undefined {
    const { consumer } = resource.spec;
    if (consumer === undefined) return undefined;
    const namespace = namespaceOf(resource);
    const [oldest] = this.#byConsumer().get(consumerKey({ ...consumer, namespace })) ?? [];
    return oldest === undefined || oldest.metadata.uid === resource.metadata.uid
      ? undefined
      : keyOfBound(oldest);
  }

  #byConsumer(): Map<string, SubscriptionResource[]> {
    const { subscriptions } = this.#options.source;
    if (this.#index?.revision === subscriptions.revision) return this.#index.byConsumer;
    const byConsumer = new Map<string, SubscriptionResource[]>();
    for (const resource of subscriptions.list()) {
      const { consumer, scaling } = resource.spec;
      if (consumer === undefined || scaling === undefined) continue;
      if (isDeleting(resource) || this.#isLetGo(resource)) continue;
      const key = consumerKey({ ...consumer, namespace: namespaceOf(resource) });
      byConsumer.set(key, [...(byConsumer.get(key) ?? []), resource].sort(byAge));
    }
    this.#index = { revision: subscriptions.revision, byConsumer };
    return byConsumer;
  }
}

/** Said before a start of the operator, for as long as nobody has looked. */
function isRefusedForApi({ status }: SubscriptionResource): boolean {
  return conditionOf(status?.conditions, 'Scaling')?.reason.startsWith('MetricsApi') === true;
}

function byAge(a: SubscriptionResource, b: SubscriptionResource): number {
  const [one, other] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  return one === other ? a.metadata.name.localeCompare(b.metadata.name) : one < other ? -1 : 1;
}

const consumerKey = ({ kind, namespace, name }: { kind: string; namespace: string; name: string }): string =>
  `${kind}/${namespace}/${name}`;

function describeConsumer({ metadata, spec }: SubscriptionResource): string {
  return `${spec.consumer?.kind ?? 'Deployment'} ${metadata.namespace ?? ''}/${spec.consumer?.name ?? ''}`;
}
