/**
 * What scaling reads and writes in Kubernetes: how many replicas the consumers have, the objects of the engines, and which
 * engines there are. Reads are of watches; nothing is written while it is as it should be.
 */
import {
  createApplier,
  createReflector,
  keyOf,
  NotFoundError,
  ownedBy,
  resources,
  watchSource,
} from '@warren/controller';
import type {
  Applier,
  Cluster,
  ControllerMetrics,
  KubernetesObject,
  Log,
  Reflector,
  ResourceType,
  Source,
} from '@warren/controller';
import type { SubscriptionResource } from '../resources.ts';
import { SCALING_LABEL } from './engines.ts';
import type { Engine, EngineObject } from './engines.ts';

export interface Engines {
  keda: boolean;
  /** The autoscaler knows `tolerance`. */
  tolerance: boolean;
}

/** What is installed is asked so often: milliseconds. */
const ENGINES_MS = 60_000;

export interface ScalingClusterOptions {
  cluster: Cluster;
  /** Only this namespace. */
  namespace?: string;
  metrics?: ControllerMetrics;
  log: Log;
  /** How long an answer about what is installed is believed; default 60,000. */
  enginesMs?: number;
}

interface Workload extends KubernetesObject {
  spec: { replicas?: number };
}

const statefulSets = {
  ...{ group: 'apps', version: 'v1', kind: 'StatefulSet', plural: 'statefulsets', namespaced: true },
} as const satisfies ResourceType;
const workloadTypes: Record<string, ResourceType> = {
  Deployment: resources.deployments,
  StatefulSet: statefulSets,
};
const engineTypes: Record<Engine, ResourceType> = {
  Hpa: {
    ...{ group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler' },
    ...{ plural: 'horizontalpodautoscalers', namespaced: true },
  },
  Keda: {
    ...{ group: 'keda.sh', version: 'v1alpha1', kind: 'ScaledObject' },
    ...{ plural: 'scaledobjects', namespaced: true },
  },
};

export class ScalingCluster implements AsyncDisposable {
  /** Enqueues subscriptions whose consumer has another number of replicas, or whose autoscaler was changed by hand. */
  readonly changes: readonly Source[];
  /** Set by the operator: the subscriptions whose consumer a workload is. */
  consumersOf: (workload: { kind: string; namespace: string; name: string }) => Iterable<string> = () => [];
  readonly #options: ScalingClusterOptions;
  readonly #applier: Applier;
  readonly #workloads: ReadonlyMap<string, Reflector<Workload>>;
  readonly #objects: ReadonlyMap<Engine, Reflector<EngineObject>>;
  #engines: { until: number; answer: Promise<Engines> } | undefined;

  constructor(options: ScalingClusterOptions) {
    this.#options = options;
    const { cluster, namespace, metrics, log } = options;
    this.#applier = createApplier({ cluster });
    const observed = (name: string) => (metrics === undefined ? {} : { observer: metrics.reflector(name) });
    this.#workloads = new Map(
      Object.entries(workloadTypes).map(([kind, type]) => [
        kind,
        createReflector<Workload>({
          resource: cluster.resource<Workload>(type),
          namespace,
          transform: whatCounts,
          log,
          ...observed(type.plural),
        }),
      ]),
    );
    this.#objects = new Map(
      (['Hpa', 'Keda'] as const).map((engine) => [
        engine,
        createReflector<EngineObject>({
          resource: cluster.resource<EngineObject>(engineTypes[engine]),
          namespace,
          labelSelector: SCALING_LABEL,
          indexes: { owner: ownersOf },
          log,
          ...observed(engineTypes[engine].plural),
        }),
      ]),
    );
    this.changes = [
      ...[...this.#workloads].map(([kind, reflector]) =>
        watchSource(reflector, {
          name: kind,
          predicate: ({ object, previous, type }) =>
            type !== 'updated' || object.spec.replicas !== previous?.spec.replicas,
          map: ({ object: { metadata } }) =>
            this.consumersOf({ kind, namespace: metadata.namespace ?? '', name: metadata.name }),
        }),
      ),
      watchSource(this.#reflector('Hpa'), {
        name: 'autoscalers',
        // What was there before is looked at by the subscription's own first reconcile; its status is not ours.
        predicate: ({ initial, type, object, previous }) =>
          !initial && (type !== 'updated' || !sameSpec(object, previous)),
        map: ownedBy('EventSubscription'),
      }),
    ];
  }

  /** Called with what was changed by hand while KEDA is there, whose kinds may come later than the operator. */
  onKedaChange(enqueue: (key: string) => void): void {
    this.#reflector('Keda').onChange((change) => {
      if (!change.initial && (change.type !== 'updated' || !sameSpec(change.object, change.previous)))
        ownedBy('EventSubscription')(change).forEach(enqueue);
    });
  }

  /** Undefined where there is no such workload. */
  replicasOf({ metadata, spec }: SubscriptionResource): number | undefined {
    const { kind, name } = spec.consumer ?? { kind: '', name: '' };
    const found = this.#workloads.get(kind)?.store.get(keyOf({ namespace: metadata.namespace, name }));
    return found === undefined ? undefined : (found.spec.replicas ?? 1);
  }

  /** What is installed, asked again every minute. */
  engines(signal: AbortSignal): Promise<Engines> {
    const now = performance.now();
    if (this.#engines === undefined || now > this.#engines.until) {
      const answer = this.#ask(signal);
      this.#engines = { until: now + (this.#options.enginesMs ?? ENGINES_MS), answer };
      answer.catch(() => (this.#engines = undefined));
    }
    return this.#engines.answer;
  }

  async #ask(signal: AbortSignal): Promise<Engines> {
    const { cluster } = this.#options;
    const [keda, { major, minor }] = await Promise.all([
      this.#knowsKeda(signal),
      cluster.version({ signal }),
    ]);
    const reflector = this.#reflector('Keda');
    if (keda) {
      reflector.start();
      await Promise.race([reflector.synced, aborted(signal)]);
    } else {
      await reflector.stop();
    }
    return { keda, tolerance: Number(major) > 1 || Number.parseInt(minor, 10) >= 35 };
  }

  async #knowsKeda(signal: AbortSignal): Promise<boolean> {
    const { group, version, plural } = engineTypes.Keda;
    try {
      const path = `/apis/${group}/${version}`;
      const answer = await this.#options.cluster.request({ method: 'GET', path, signal });
      const { resources: kinds = [] } = answer as { resources?: { name: string }[] };
      return kinds.some(({ name }) => name === plural);
    } catch (error) {
      if (error instanceof NotFoundError) return false;
      throw error;
    }
  }

  /** `taken`: somebody else's object has this name; it is not touched. */
  async apply(
    engine: Engine,
    wanted: EngineObject,
    signal: AbortSignal,
  ): Promise<'written' | 'same' | 'taken'> {
    const live = this.#objectOf(engine, wanted.metadata);
    if (live !== undefined) return (await this.#applier.apply(wanted, live, { signal })) ? 'written' : 'same';
    const there = await this.#options.cluster.resource(engineTypes[engine]).find(wanted.metadata, { signal });
    if (there !== undefined && !isOwned(there, wanted)) return 'taken';
    await this.#applier.apply(wanted, there ?? null, { signal });
    return 'written';
  }

  /** Removes what an engine was given for a subscription, but for what has the name. True when there was something. */
  async remove(
    engine: Engine,
    { metadata }: SubscriptionResource,
    signal: AbortSignal,
    but?: string,
  ): Promise<boolean> {
    const { store } = this.#reflector(engine);
    const owned = metadata.uid === undefined ? [] : [...store.by('owner', metadata.uid)];
    const there = owned
      .flatMap((key) => store.get(key) ?? [])
      .filter(({ metadata: { name, deletionTimestamp } }) => name !== but && deletionTimestamp === undefined);
    for (const live of there) await this.#applier.delete(live, { signal });
    return there.length > 0;
  }

  /** Through the scale subresource, and only if the workload is still as it was seen: throws ConflictError otherwise. */
  async scale(
    { metadata, spec }: SubscriptionResource,
    replicas: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { kind, name } = spec.consumer ?? { kind: '', name: '' };
    const type = workloadTypes[kind];
    const ref = { namespace: metadata.namespace, name };
    const found = this.#workloads.get(kind)?.store.get(keyOf(ref));
    if (type === undefined || found === undefined) return;
    const { resourceVersion } = found.metadata;
    await this.#options.cluster
      .resource(type)
      .mergePatch(
        ref,
        { metadata: { resourceVersion }, spec: { replicas } },
        { subresource: 'scale', signal },
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workloads.values(), ...this.#objects.values()].map((one) => one.stop()));
  }

  #objectOf(engine: Engine, ref: { namespace?: string | undefined; name: string }): EngineObject | undefined {
    return this.#reflector(engine).store.get(keyOf(ref));
  }

  #reflector(engine: Engine): Reflector<EngineObject> {
    const reflector = this.#objects.get(engine);
    if (reflector === undefined) throw new TypeError(`no watch for the engine ${engine}`);
    return reflector;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** Of a workload; the rest of it is large and changes often. */
function whatCounts({ metadata, spec }: Workload): Workload {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    metadata: { name, namespace, uid, resourceVersion } as Workload['metadata'],
    spec: { replicas: spec.replicas ?? 1 },
  };
}

function ownersOf({ metadata }: KubernetesObject): string[] {
  return metadata.ownerReferences?.map(({ uid }) => uid) ?? [];
}

function isOwned(there: KubernetesObject, wanted: KubernetesObject): boolean {
  const mine = new Set(ownersOf(wanted));
  return ownersOf(there).some((uid) => mine.has(uid));
}

function sameSpec(object: EngineObject, previous: EngineObject | undefined): boolean {
  return JSON.stringify(object.spec) === JSON.stringify(previous?.spec);
}
