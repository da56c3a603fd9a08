/**
 * What every Kubernetes object has in common, and how an object is named inside this process.
 *
 * A key is `namespace/name`, or `name` for what has no namespace. Keys are all that travels through a work queue.
 */

/** `metadata` as the API server sends it: times are RFC 3339 strings. */
export interface ObjectMeta {
  name: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  /** Opaque, but decimal and ordered for one resource on current API servers. */
  resourceVersion?: string;
  /** Counts changes of the spec, not of the status. */
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: ManagedFields[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** Who set which fields, as server-side apply records it. */
export interface ManagedFields {
  manager?: string;
  operation?: string;
  subresource?: string;
  fieldsV1?: Record<string, unknown>;
}

export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

/** An object of a custom resource definition with a spec and a status subresource. */
export interface CustomResource<Spec, Status> extends KubernetesObject {
  spec: Spec;
  status?: Status;
}

/** Names one object of a known resource. */
export interface Ref {
  name: string;
  namespace?: string | undefined;
}

/** Names a resource of the API: what a URL is made from. */
export interface ResourceType {
  /** `''` is the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** `v1` or `group/version`. */
export function apiVersionOf(type: Pick<ResourceType, 'group' | 'version'>): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** The key of an object or a reference: `namespace/name`, or `name`. */
export function keyOf(object: KubernetesObject | Ref): string {
  const { name, namespace } = 'metadata' in object ? object.metadata : object;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** Resource versions are decimal numbers that grow (KEP-5504); should one not be, neither is known to be older. */
export function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}

/** An owner reference that makes the garbage collector delete the owned object with its owner. */
export function controllerReference(owner: KubernetesObject, type: ResourceType): OwnerReference {
  const { name, uid } = owner.metadata;
  if (uid === undefined)
    throw new TypeError(`${type.kind} ${keyOf(owner)} has no uid yet, so it cannot own anything`);
  return {
    apiVersion: apiVersionOf(type),
    kind: type.kind,
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The resources that most controllers touch besides their own. */
export const resources = {
  secrets: core('Secret', 'secrets'),
  configMaps: core('ConfigMap', 'configmaps'),
  services: core('Service', 'services'),
  pods: core('Pod', 'pods'),
  namespaces: core('Namespace', 'namespaces', false),
  events: { group: 'events.k8s.io', version: 'v1', kind: 'Event', plural: 'events', namespaced: true },
  leases: { group: 'coordination.k8s.io', version: 'v1', kind: 'Lease', plural: 'leases', namespaced: true },
  deployments: { group: 'apps', version: 'v1', kind: 'Deployment', plural: 'deployments', namespaced: true },
  customResourceDefinitions: {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    namespaced: false,
  },
} as const satisfies Record<string, ResourceType>;

function core(kind: string, plural: string, namespaced = true): ResourceType {
  return { group: '', version: 'v1', kind, plural, namespaced };
}
