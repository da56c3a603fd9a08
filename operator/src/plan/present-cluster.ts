/**
 * The present of a cluster. What an apply would store, the API server itself says: every write is a dry run, so that its
 * defaults, its rules, its admission and the caller's rights hold, and nothing is stored.
 *
 * The dry run is what the next apply would be. A resource that `kubectl apply` made tells what was applied last: what is not in
 * the file any more goes. One that was applied by the server has a manager, in whose name it is applied again. Any other one
 * (Helm 3) becomes what the file says.
 */
import {
  BadRequestError,
  ForbiddenError,
  InvalidError,
  KubernetesError,
  NotFoundError,
  resources,
} from '@warren/controller';
import type { Cluster, KubernetesObject, ResourceClient } from '@warren/controller';
import type { LoadedResource } from '../folder/load.ts';
import { brokerType, publisherType, subscriptionType } from '../kubernetes/kubernetes-source.ts';
import type { BrokerResource, PublisherResource, SubscriptionResource } from '../resources.ts';
import { isSameJson, plainJson } from './fields.ts';
import { threeWayPatch } from './merge.ts';
import { RefusedError } from './present.ts';
import type { AnyResource, Present } from './present.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const DRY_RUN = { dryRun: true } as const;

interface Secret extends KubernetesObject {
  data?: Record<string, string>;
}

export interface ClusterPresentOptions {
  cluster: Cluster;
  /** How the cluster is called in the head of the plan. */
  name: string;
  namespace: string;
  /** Namespaces that the manifests make themselves. */
  comingNamespaces: ReadonlySet<string>;
}

export function presentOfCluster(options: ClusterPresentOptions): Present {
  const { cluster, name, namespace, comingNamespaces } = options;
  const subscriptions = cluster.resource<SubscriptionResource>(subscriptionType);
  const publishers = cluster.resource<PublisherResource>(publisherType);
  const brokers = cluster.resource<BrokerResource>(brokerType);
  const secrets = cluster.resource<Secret>(resources.secrets);
  return {
    where: `Cluster ${name}: validated by its API server.`,
    scales: true,
    namespace,
    // The API server compares with the version before.
    inForce: () => undefined,
    preview: async (loaded) => {
      const clients: Record<string, unknown> = { EventBroker: brokers, EventPublisher: publishers };
      const client = (clients[loaded.kind] ?? subscriptions) as ResourceClient<AnyResource>;
      const written = loaded.written as unknown as AnyResource;
      const local = loaded.resource as unknown as AnyResource;
      let current: AnyResource | undefined;
      try {
        current = await client.find(written.metadata);
        const resource =
          current === undefined
            ? await created(client, written, local, comingNamespaces)
            : await applied(client, written, current);
        return { resource, current };
      } catch (error) {
        // Who plans need not be who applies: an operator asked to plan may not create what it reconciles.
        if (error instanceof ForbiddenError && error.request.split(' ')[0] !== 'GET')
          return { resource: local, current, note: `validated without the API server: ${error.message}` };
        throw refusal(error, loaded) ?? error;
      }
    },
    clusterId: () => cluster.authority(),
    broker: (wanted) => brokers.find({ name: wanted }),
    subscriptionsIn: async (wanted) => (await subscriptions.list({ namespace: wanted })).items,
    readSecret: async (ref) => {
      const secret = await secrets.find(ref);
      if (secret === undefined) return undefined;
      return Object.fromEntries(
        Object.entries(secret.data ?? {}).map(([key, value]) => [
          key,
          Buffer.from(value, 'base64').toString('utf8'),
        ]),
      );
    },
    [Symbol.asyncDispose]: () => cluster.close(),
  };
}

async function created(
  client: ResourceClient<AnyResource>,
  written: AnyResource,
  local: AnyResource,
  comingNamespaces: ReadonlySet<string>,
): Promise<AnyResource> {
  try {
    return await client.create(written, DRY_RUN);
  } catch (error) {
    const { namespace } = written.metadata;
    // Its namespace is made by the same apply: what the CRDs of this version say has to do.
    if (error instanceof NotFoundError && namespace !== undefined && comingNamespaces.has(namespace))
      return local;
    throw error;
  }
}

async function applied(
  client: ResourceClient<AnyResource>,
  written: AnyResource,
  current: AnyResource,
): Promise<AnyResource> {
  const last = lastApplied(current);
  if (last !== undefined) {
    const part = (object: AnyResource) => ({
      metadata: { labels: object.metadata.labels, annotations: withoutLast(object.metadata.annotations) },
      spec: object.spec,
    });
    const patch = threeWayPatch(part(last), plainJson(part(written)), plainJson(part(current)));
    if (Object.keys(patch).length === 0) return current;
    return client.mergePatch(current.metadata, patch, DRY_RUN);
  }
  const manager = managerOf(current);
  if (manager !== undefined) return client.apply(written, { ...DRY_RUN, fieldManager: manager });
  const { metadata } = current;
  const whole = {
    ...written,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...written.metadata.labels },
      annotations: { ...metadata.annotations, ...written.metadata.annotations },
    },
  } as AnyResource;
  if (isSameJson(whole.spec, current.spec) && isSameJson(whole.metadata, metadata)) return current;
  return client.replace(whole, DRY_RUN);
}

function lastApplied({ metadata }: AnyResource): AnyResource | undefined {
  const text = metadata.annotations?.[LAST_APPLIED];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as AnyResource;
  } catch {
    return undefined;
  }
}

function withoutLast(annotations: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const { [LAST_APPLIED]: _, ...others } = annotations ?? {};
  return others;
}

/** Who applied the spec by server-side apply. */
function managerOf({ metadata }: AnyResource): string | undefined {
  return metadata.managedFields?.find(
    ({ operation, subresource, fieldsV1 }) =>
      operation === 'Apply' && (subresource ?? '') === '' && fieldsV1?.['f:spec'] !== undefined,
  )?.manager;
}

function refusal(error: unknown, { kind }: LoadedResource): RefusedError | undefined {
  if (!(error instanceof KubernetesError)) return undefined;
  if (error instanceof NotFoundError && /could not find the requested resource/.test(error.message))
    return new RefusedError(
      `the cluster knows no ${kind}: install the CRDs first (kubectl apply -f charts/warren/crds)`,
      { cause: error },
    );
  const isRefusal =
    error instanceof NotFoundError || error instanceof InvalidError || error instanceof BadRequestError;
  return isRefusal ? new RefusedError(error.message, { cause: error }) : undefined;
}
