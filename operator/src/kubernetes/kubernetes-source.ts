/** A Kubernetes API server as a source of resources. */
import { isDeepStrictEqual } from 'node:util';
import {
  AlreadyExistsError,
  ConnectionError,
  controllerReference,
  createEventRecorder,
  createReflector,
  keyOf,
  nameOfDefinition,
  ownedBy,
  predicates,
  RequestTimeoutError,
  resources,
  ServerError,
  TooManyRequestsError,
  watchSource,
} from '@warren/controller';
import type {
  Change,
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
import type {
  BoundResource,
  BrokerResource,
  BrokerStatus,
  Kind,
  PublisherResource,
  PublisherStatus,
  SubscriptionResource,
  SubscriptionStatus,
} from '../resources.ts';
import type { ResourceSource, SecretRef, StoryEvent } from '../source.ts';
import { isClaimed, newestOf } from '../subscriptions/claims.ts';
import { FreshCollection } from './fresh.ts';
import { OwnWrites } from './own-writes.ts';

export const subscriptionType = {
  group: 'warren.events',
  version: 'v1alpha1',
  kind: 'EventSubscription',
  plural: 'eventsubscriptions',
  namespaced: true,
} as const satisfies ResourceType;

export const publisherType = {
  group: 'warren.events',
  version: 'v1alpha1',
  kind: 'EventPublisher',
  plural: 'eventpublishers',
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
  /** Only this namespace's subscriptions and publishers. */
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
  readonly publishers: FreshCollection<PublisherResource>;
  readonly brokers: FreshCollection<BrokerResource>;
  /** Enqueue whose binding Secret was changed or deleted by hand. */
  readonly bindingChanges: { subscriptions: Source; publishers: Source };
  readonly #subscriptionClient: ResourceClient<SubscriptionResource>;
  readonly #publisherClient: ResourceClient<PublisherResource>;
  readonly #brokerClient: ResourceClient<BrokerResource>;
  readonly #secrets: ResourceClient<Secret>;
  readonly #namespaces: ResourceClient<Namespace>;
  readonly #bindings: Reflector<Secret>;
  readonly #ownSecrets = new OwnWrites<Secret>();
  readonly #reflectors: readonly Pick<Reflector<KubernetesObject>, 'stop'>[];
  readonly #defined: readonly {
    type: ResourceType;
    reflector: Pick<Reflector<KubernetesObject>, 'isUndefined'>;
  }[];
  readonly #recorder: EventRecorder;
  readonly #cluster: Cluster;
  /** As they were last read. */
  readonly #secretsRead = new Map<string, Record<string, string> | undefined>();

  constructor({ cluster, namespace, instance, metrics, log }: KubernetesSourceOptions) {
    this.#cluster = cluster;
    if (namespace !== undefined) this.namespace = namespace;
    this.#subscriptionClient = cluster.resource<SubscriptionResource>(subscriptionType);
    this.#publisherClient = cluster.resource<PublisherResource>(publisherType);
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
    const publishers = createReflector({
      resource: this.#publisherClient,
      namespace,
      log,
      ...observed('eventpublishers'),
    });
    const brokers = createReflector({ resource: this.#brokerClient, log, ...observed('eventbrokers') });
    this.#bindings = createReflector({
      resource: this.#secrets,
      namespace,
      labelSelector: BINDING_LABEL,
      log,
      ...observed('secrets'),
    });
    const { any, generationChanged, annotationsChanged, deletionStarted } = predicates;
    const mattersToUs = any(generationChanged, annotationsChanged, deletionStarted, finalizerTaken);
    this.subscriptions = new FreshCollection(
      subscriptions,
      watchSource(subscriptions, { name: 'subscriptions', predicate: mattersToUs }),
    );
    this.publishers = new FreshCollection(
      publishers,
      watchSource(publishers, { name: 'publishers', predicate: mattersToUs }),
    );
    this.brokers = new FreshCollection(
      brokers,
      watchSource(brokers, { name: 'brokers', predicate: any(generationChanged, deletionStarted) }),
    );
    const changesOf = (kind: Kind) =>
      watchSource(this.#bindings, {
        name: `bindings of ${kind}`,
        // What was there before is looked at by its owner's own first reconcile.
        predicate: (change) =>
          !change.initial && isOwnedBy(change.object, kind) && !this.#ownSecrets.isOwn(change),
        map: ownedBy(kind),
      });
    this.bindingChanges = {
      subscriptions: changesOf('EventSubscription'),
      publishers: changesOf('EventPublisher'),
    };
    this.#reflectors = [subscriptions, publishers, brokers, this.#bindings];
    this.#defined = [
      { type: this.#subscriptionClient.type, reflector: subscriptions },
      { type: this.#publisherClient.type, reflector: publishers },
      { type: this.#brokerClient.type, reflector: brokers },
    ];
    this.#recorder = createEventRecorder({
      cluster,
      controller: 'warren.events/operator',
      instance,
      log,
      ...(metrics === undefined ? {} : { observer: metrics.events }),
    });
  }

  /**
   * The CustomResourceDefinitions that the API server does not have. Nothing is reconciled without one of them: whose users may
   * go, only all resources together tell.
   */
  missingDefinitions(): string[] {
    return this.#defined.flatMap(({ type, reflector }) =>
      reflector.isUndefined ? [nameOfDefinition(type)] : [],
    );
  }

  clusterId(): Promise<string | undefined> {
    return this.#cluster.authority();
  }

  /** An API server that is away is nothing to the broker: until it is back, what was last read holds. */
  async readSecret({ namespace, name }: SecretRef): Promise<Record<string, string> | undefined> {
    const key = keyOf({ name, namespace });
    try {
      const secret = await this.#secrets.find({ namespace, name });
      this.#secretsRead.set(key, secret === undefined ? undefined : textsOf(secret));
    } catch (error) {
      if (!isAway(error) || !this.#secretsRead.has(key)) throw error;
    }
    return this.#secretsRead.get(key);
  }

  /** Watching Secrets that are not ours would need the right to read all of them: a rotation is seen when the broker is next asked. */
  onSecretChange(): void {
    // See above.
  }

  async addFinalizer<T extends BoundResource>(resource: T): Promise<T> {
    const finalizers = resource.metadata.finalizers ?? [];
    if (finalizers.includes(FINALIZER)) return resource;
    return this.#setFinalizers(resource, [...finalizers, FINALIZER]);
  }

  async removeFinalizer(resource: BoundResource): Promise<void> {
    const finalizers = resource.metadata.finalizers ?? [];
    if (!finalizers.includes(FINALIZER)) return;
    await this.#setFinalizers(
      resource,
      finalizers.filter((one) => one !== FINALIZER),
    );
  }

  letGo(resource: BoundResource): Promise<void> {
    return this.removeFinalizer(resource);
  }

  async #setFinalizers<T extends BoundResource>(resource: T, finalizers: string[]): Promise<T> {
    if (isPublisher(resource))
      return this.publishers.wrote(await this.#publisherClient.patchFinalizers(resource, finalizers)) as T;
    const subscription: SubscriptionResource = resource;
    return this.subscriptions.wrote(
      await this.#subscriptionClient.patchFinalizers(subscription, finalizers),
    ) as T;
  }

  async writeSubscriptionStatus(
    resource: SubscriptionResource,
    status: SubscriptionStatus,
  ): Promise<boolean> {
    if (isDeepStrictEqual(resource.status ?? {}, status)) return false;
    this.subscriptions.wrote(
      await this.#subscriptionClient.applyStatus(resource.metadata, status, this.#guardOf(resource)),
    );
    return true;
  }

  /**
   * One that has not claimed its names may be gone, and another one of its name have the finalizer from its creation: with a
   * status besides, that one would have claimed them (ADR 0030). The API server compares the version, and no uid.
   */
  #guardOf(resource: SubscriptionResource): { resourceVersion?: string | undefined } {
    if (isClaimed(resource)) return {};
    const { metadata } = newestOf(this.subscriptions, resource);
    const { resourceVersion } = metadata.uid === resource.metadata.uid ? metadata : resource.metadata;
    return { resourceVersion };
  }

  async writePublisherStatus(resource: PublisherResource, status: PublisherStatus): Promise<boolean> {
    if (isDeepStrictEqual(resource.status ?? {}, status)) return false;
    this.publishers.wrote(await this.#publisherClient.applyStatus(resource.metadata, status));
    return true;
  }

  async writeBrokerStatus(resource: BrokerResource, status: BrokerStatus): Promise<boolean> {
    if (isDeepStrictEqual(resource.status ?? {}, status)) return false;
    this.brokers.wrote(await this.#brokerClient.applyStatus(resource.metadata, status));
    return true;
  }

  tell(resource: BoundResource | BrokerResource, { type, reason, action, message }: StoryEvent): void {
    this.#recorder.event(resource, { type, reason, action, message });
  }

  async writeBinding(
    resource: BoundResource,
    name: string,
    entries: Readonly<Record<string, string>>,
  ): Promise<boolean> {
    const { namespace } = resource.metadata;
    const data = Object.fromEntries(
      Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    );
    const metadata = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: {
        [BINDING_LABEL]: resource.metadata.name.slice(0, 63),
        'app.kubernetes.io/managed-by': 'warren-operator',
      },
      ownerReferences: [
        controllerReference(
          { ...resource, apiVersion: API_VERSION },
          isPublisher(resource) ? publisherType : subscriptionType,
        ),
      ],
    };
    const before = this.#bindings.store.get(keyOf({ name, namespace }));
    const same =
      before !== undefined &&
      isDeepStrictEqual(before.data, data) &&
      isDeepStrictEqual(before.metadata.ownerReferences, metadata.ownerReferences);
    if (same) return false;
    const secret = { metadata, type: 'servicebinding.io/rabbitmq', data };
    await this.#ownSecrets.write(secret, async () => {
      if (before === undefined) await this.#createBinding(resource, secret);
      else await this.#changeBinding(resource, before, metadata, data);
    });
    return true;
  }

  /** Created, not applied: applying would take over a Secret of somebody else's that has this name. */
  async #createBinding(
    resource: BoundResource,
    secret: Secret & { data: Readonly<Record<string, string>> },
  ): Promise<void> {
    const { metadata, data } = secret;
    try {
      await this.#secrets.create(secret);
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) throw error;
      const there = await this.#secrets.find({ name: metadata.name, namespace: metadata.namespace });
      if (there === undefined) throw error;
      await this.#changeBinding(resource, there, metadata, data);
    }
  }

  /** Patched, not applied: it was created, and what creates owns its entries and owners, so that an apply takes none away. */
  async #changeBinding(
    resource: BoundResource,
    before: Secret,
    metadata: KubernetesObject['metadata'],
    data: Readonly<Record<string, string>>,
  ): Promise<void> {
    const isTaken =
      before.metadata.labels?.[BINDING_LABEL] === undefined ||
      (isPublisher(resource) && isOwnedBy(before, 'EventSubscription'));
    if (isTaken) throw new BindingTakenError(keyOf(metadata));
    const { uid, resourceVersion } = before.metadata;
    const isOwn = before.metadata.ownerReferences?.some((owner) => owner.uid === resource.metadata.uid);
    // Nobody may have taken it meanwhile.
    const guard = isOwn === true ? {} : { uid, resourceVersion };
    const gone = Object.keys(before.data ?? {}).filter((key) => !(key in data));
    await this.#secrets.mergePatch(metadata, {
      metadata: { ...guard, labels: metadata.labels, ownerReferences: metadata.ownerReferences },
      data: { ...Object.fromEntries(gone.map((key) => [key, null])), ...data },
    });
  }

  async readBinding(
    { metadata }: BoundResource,
    name: string,
    { fresh = false }: { fresh?: boolean } = {},
  ): Promise<Record<string, string> | undefined> {
    const ref = { name, namespace: metadata.namespace };
    const secret = fresh ? await this.#secrets.find(ref) : this.#bindings.store.get(keyOf(ref));
    const isOurs = secret?.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid);
    return secret !== undefined && isOurs === true ? textsOf(secret) : undefined;
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

function isPublisher(resource: BoundResource): resource is PublisherResource {
  return resource.kind === publisherType.kind;
}

function isOwnedBy({ metadata }: Secret, kind: Kind): boolean {
  return metadata.ownerReferences?.some((owner) => owner.kind === kind) === true;
}

/** Whether an error is of the API server's state and says nothing about what was asked for. */
function isAway(error: unknown): boolean {
  return (
    error instanceof ConnectionError ||
    error instanceof RequestTimeoutError ||
    error instanceof ServerError ||
    error instanceof TooManyRequestsError
  );
}

/** Somebody has taken ours away. */
function finalizerTaken({ previous, object }: Change<KubernetesObject>): boolean {
  const had = previous?.metadata.finalizers?.includes(FINALIZER) === true;
  return had && object.metadata.finalizers?.includes(FINALIZER) !== true;
}

function textsOf({ data = {} }: Secret): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}
