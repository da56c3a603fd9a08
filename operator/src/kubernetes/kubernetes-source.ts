/** A Kubernetes API server as a source of resources. */
import { isDeepStrictEqual } from 'node:util';
import {
  AlreadyExistsError,
  controllerReference,
  createEventRecorder,
  createReflector,
  keyOf,
  ownedBy,
  predicates,
  resources,
  watchSource,
} from '@warren/controller';
import type {
  Cluster,
  ControllerMetrics,
  EventRecorder,
  KubernetesObject,
  Log,
  Reflector,
  ResourceClient,
  ResourceType,
  Source,
} from '@warren/controller';
import { BindingTakenError } from '../errors.ts';
import { API_VERSION, FINALIZER } from '../resources.ts';
import type { BrokerResource, BrokerStatus, SubscriptionResource, SubscriptionStatus } from '../resources.ts';
import type { ResourceSource, SecretRef, StoryEvent } from '../source.ts';
import { FreshCollection } from './fresh.ts';

export const subscriptionType = {
  group: 'warren.events',
  version: 'v1alpha1',
  kind: 'EventSubscription',
  plural: 'eventsubscriptions',
  namespaced: true,
} as const satisfies ResourceType;

export const brokerType = {
  group: 'warren.events',
  version: 'v1alpha1',
  kind: 'EventBroker',
  plural: 'eventbrokers',
  namespaced: false,
} as const satisfies ResourceType;

/** Marks the Secrets that the operator made, so that it need not watch anybody else's. */
const BINDING_LABEL = 'warren.events/binding';

interface Secret extends KubernetesObject {
  type?: string;
  data?: Record<string, string>;
}

interface Namespace extends KubernetesObject {
  status?: { phase?: string };
}

export interface KubernetesSourceOptions {
  cluster: Cluster;
  /** Only this namespace's subscriptions. */
  namespace?: string;
  /** Names this process in events. */
  instance: string;
  metrics?: ControllerMetrics;
  log: Log;
}

export class KubernetesSource implements ResourceSource {
  readonly mode = 'kubernetes';
  readonly namespace?: string;
  readonly subscriptions: FreshCollection<SubscriptionResource>;
  readonly brokers: FreshCollection<BrokerResource>;
  /** Enqueues a subscription whose binding Secret was changed or deleted by hand. */
  readonly bindingChanges: Source;
  readonly #subscriptionClient: ResourceClient<SubscriptionResource>;
  readonly #brokerClient: ResourceClient<BrokerResource>;
  readonly #secrets: ResourceClient<Secret>;
  readonly #namespaces: ResourceClient<Namespace>;
  readonly #bindings: Reflector<Secret>;
  readonly #reflectors: readonly Pick<Reflector<KubernetesObject>, 'stop'>[];
  readonly #recorder: EventRecorder;

  constructor({ cluster, namespace, instance, metrics, log }: KubernetesSourceOptions) {
    if (namespace !== undefined) this.namespace = namespace;
    this.#subscriptionClient = cluster.resource<SubscriptionResource>(subscriptionType);
    this.#brokerClient = cluster.resource<BrokerResource>(brokerType);
    this.#secrets = cluster.resource<Secret>(resources.secrets);
    this.#namespaces = cluster.resource<Namespace>(resources.namespaces);
    const observed = (name: string) => (metrics === undefined ? {} : { observer: metrics.reflector(name) });
    const subscriptions = createReflector({
      resource: this.#subscriptionClient,
      namespace,
      log,
      ...observed('eventsubscriptions'),
    });
    const brokers = createReflector({ resource: this.#brokerClient, log, ...observed('eventbrokers') });
    this.#bindings = createReflector({
      resource: this.#secrets,
      namespace,
      labelSelector: BINDING_LABEL,
      log,
      ...observed('secrets'),
    });
    const { any, generationChanged, annotationsChanged, deletionStarted, finalizersChanged } = predicates;
    const mattersToUs = any(generationChanged, annotationsChanged, deletionStarted, finalizersChanged);
    this.subscriptions = new FreshCollection(
      subscriptions,
      watchSource(subscriptions, { name: 'subscriptions', predicate: mattersToUs }),
    );
    this.brokers = new FreshCollection(
      brokers,
      watchSource(brokers, { name: 'brokers', predicate: any(generationChanged, deletionStarted) }),
    );
    this.bindingChanges = watchSource(this.#bindings, {
      name: 'bindings',
      // What was there before is looked at by the subscription's own first reconcile.
      predicate: ({ initial }) => !initial,
      map: ownedBy('EventSubscription'),
    });
    this.#reflectors = [subscriptions, brokers, this.#bindings];
    this.#recorder = createEventRecorder({
      cluster,
      controller: 'warren.events/operator',
      instance,
      log,
      ...(metrics === undefined ? {} : { observer: metrics.events }),
    });
  }

  async readSecret({ namespace, name }: SecretRef): Promise<Record<string, string> | undefined> {
    const secret = await this.#secrets.find({ namespace, name });
    if (secret === undefined) return undefined;
    return Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString('utf8'),
      ]),
    );
  }

  /** Watching Secrets that are not ours would need the right to read all of them: a rotation is seen when the broker is next asked. */
  onSecretChange(): void {
    // See above.
  }

  async addFinalizer(subscription: SubscriptionResource): Promise<SubscriptionResource> {
    const finalizers = subscription.metadata.finalizers ?? [];
    if (finalizers.includes(FINALIZER)) return subscription;
    return this.subscriptions.wrote(
      await this.#subscriptionClient.patchFinalizers(subscription, [...finalizers, FINALIZER]),
    );
  }

  async removeFinalizer(subscription: SubscriptionResource): Promise<void> {
    const finalizers = subscription.metadata.finalizers ?? [];
    if (!finalizers.includes(FINALIZER)) return;
    this.subscriptions.wrote(
      await this.#subscriptionClient.patchFinalizers(
        subscription,
        finalizers.filter((one) => one !== FINALIZER),
      ),
    );
  }

  async writeSubscriptionStatus(
    resource: SubscriptionResource,
    status: SubscriptionStatus,
  ): Promise<boolean> {
    if (isDeepStrictEqual(resource.status ?? {}, status)) return false;
    this.subscriptions.wrote(await this.#subscriptionClient.applyStatus(resource.metadata, status));
    return true;
  }

  async writeBrokerStatus(resource: BrokerResource, status: BrokerStatus): Promise<boolean> {
    if (isDeepStrictEqual(resource.status ?? {}, status)) return false;
    this.brokers.wrote(await this.#brokerClient.applyStatus(resource.metadata, status));
    return true;
  }

  tell(resource: SubscriptionResource | BrokerResource, { type, reason, action, message }: StoryEvent): void {
    this.#recorder.event(resource, { type, reason, action, message });
  }

  async writeBinding(
    subscription: SubscriptionResource,
    name: string,
    entries: Readonly<Record<string, string>>,
  ): Promise<boolean> {
    const { namespace } = subscription.metadata;
    const data = Object.fromEntries(
      Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    );
    const metadata = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        [BINDING_LABEL]: subscription.metadata.name.slice(0, 63),
        'app.kubernetes.io/managed-by': 'warren-operator',
      },
      ownerReferences: [controllerReference({ ...subscription, apiVersion: API_VERSION }, subscriptionType)],
    };
    const before = this.#bindings.store.get(keyOf({ name, namespace }));
    const same =
      before !== undefined &&
      isDeepStrictEqual(before.data, data) &&
      isDeepStrictEqual(before.metadata.ownerReferences, metadata.ownerReferences);
    if (same) return false;
    const secret = { metadata, type: 'servicebinding.io/rabbitmq', data };
    if (before === undefined) {
      // Created, not applied: applying would take over a Secret of somebody else's that has this name.
      try {
        await this.#secrets.create(secret);
        return true;
      } catch (error) {
        if (!(error instanceof AlreadyExistsError)) throw error;
      }
      const there = await this.#secrets.find({ name, namespace });
      if (there !== undefined && there.metadata.labels?.[BINDING_LABEL] === undefined)
        throw new BindingTakenError(`${namespace ?? ''}/${name}`);
    }
    await this.#secrets.apply(secret);
    return true;
  }

  async namespaceIsEnding(namespace: string): Promise<boolean> {
    const found = await this.#namespaces.find({ name: namespace });
    return found === undefined || found.metadata.deletionTimestamp !== undefined;
  }

  /** Ends the watches, and writes the events that wait. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#reflectors.map((reflector) => reflector.stop()), this.#recorder.stop()]);
  }
}
