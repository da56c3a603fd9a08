/** The resources the operator reconciles, as both sources hold them. */
import type { CustomResource } from '@warren/controller';
import type { EventSubscriptionSpec, ExchangeNames } from '@warren/topology';
import type { CredentialsPolicy } from './users/broker-users.ts';

export const API_VERSION = 'warren.events/v1alpha1';

/** Holds a subscription until its broker objects are dealt with. It is also the claim on their names: see claims.ts. */
export const FINALIZER = 'warren.events/topology';

/** Another value than before asks for new credentials in the binding. */
export const ROTATE_ANNOTATION = 'warren.events/rotate';

/** `"true"` allows the operator to take over broker objects that it did not make. */
export const ADOPT_ANNOTATION = 'warren.events/adopt';

/** `"true"`: the operator touches nothing until it goes. */
export const PAUSED_ANNOTATION = 'warren.events/paused';

/** `"true"`: the operator lets go of everything, and takes it back when it goes. */
export const UNMANAGED_ANNOTATION = 'warren.events/unmanaged';

/** `namespace/name` of the subscription that may take over this one's queues. */
export const RELEASE_ANNOTATION = 'warren.events/release-to';

/** `namespace/name` of the subscription that this one takes over from. */
export const CLAIM_ANNOTATION = 'warren.events/claim-from';

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  /** The generation of the spec that the condition speaks of. */
  observedGeneration?: number;
  /** When `status` last changed: ISO 8601. */
  lastTransitionTime: string;
}

/** While a queue is made anew: see @warren/topology's migration.ts. */
export interface MigrationStatus {
  queue: string;
  /** `x-single-active-consumer none`: what it was, as far as that is known. */
  from: string;
  to: string;
  /** Preparing, Waiting, Draining, Recreating, Returning, Finishing; GivingBack after a takeover that was called off. */
  phase: string;
  /** Messages moved so far; each is moved at most twice. */
  moved: number;
  /** Messages that are not yet where they belong. */
  remaining?: number;
}

/** How many the consumer has, and should have. */
export interface ScalingReplicas {
  /** Who sets the number: `Hpa` or `Keda`. */
  engine: string;
  current?: number;
  /** Not there while it is not known: nothing is scaled then. */
  desired?: number;
}

/** Of a stream the broker tells neither ready nor unacked. */
export interface MessageCounts {
  ready?: number;
  unacked?: number;
  deadLetters: number;
  /** Since when messages wait without a break, as far as is known: ISO 8601. None that waits is older. */
  waitingSince?: string;
}

export interface PartitionCounts {
  queue: string;
  ready: number;
  unacked: number;
}

export interface SubscriptionStatus {
  observedGeneration?: number;
  /** The generation that was last in sync, where `TopologyInSync` says something else by now: what differs from it is drift. */
  appliedGeneration?: number;
  conditions?: Condition[];
  queue?: string;
  deadLetterQueue?: string;
  /** `broker` (delayed retry) or `ladder` (wait queues). */
  retryMode?: string;
  messages?: MessageCounts;
  consumers?: number;
  /** Of ordering PerKey, in their order. */
  partitions?: PartitionCounts[];
  replicas?: ScalingReplicas;
  /** The Service Binding specification's reference to the Secret with the consumer's settings. */
  binding?: { name: string };
  /** What is in force at the queue, arguments and policy: by name, as text. */
  effectiveArguments?: Record<string, string>;
  migration?: MigrationStatus;
  /** `namespace/name` of the subscription that this one has taken over from. */
  claimedFrom?: string;
  /** `namespace/name` of the subscription that takes over, or has taken over, from this one. */
  releasedTo?: string;
}

export interface BrokerSpec {
  secretRef: { namespace: string; name: string };
  /** Names, or `*` for every namespace. */
  allowedNamespaces?: string[];
  /** What the shared exchanges are called. */
  exchanges?: ExchangeNames;
  /** Of the operator's requests to the management API; none where nothing is said. */
  rateLimit?: { requestsPerSecond: number };
  /** Whose user consumers connect as; shared where nothing is said. */
  consumerCredentials?: CredentialsPolicy;
}

export interface BrokerStatus {
  observedGeneration?: number;
  conditions?: Condition[];
  version?: string;
  /** Such as `memory on rabbit@one`: while there is one, the broker blocks every publisher. */
  alarms?: string[];
  /** EventSubscriptions that use it. */
  subscriptions?: number;
}

/** A service that publishes. */
export interface PublisherSpec {
  brokerRef: { name: string };
  /** Event types and routing patterns, as of an EventSubscription; whatever it likes where it is not there. */
  events?: string[];
}

export interface PublisherStatus {
  observedGeneration?: number;
  conditions?: Condition[];
  /** The Service Binding specification's reference to the Secret with what it needs to publish. */
  binding?: { name: string };
}

export type SubscriptionResource = CustomResource<EventSubscriptionSpec, SubscriptionStatus>;
export type PublisherResource = CustomResource<PublisherSpec, PublisherStatus>;
/** What gets a binding. */
export type BoundResource = SubscriptionResource | PublisherResource;
export type BrokerResource = CustomResource<BrokerSpec, BrokerStatus>;

export type Kind = 'EventSubscription' | 'EventPublisher' | 'EventBroker';

/** Why what is in a namespace may not use a broker: see `allows`. */
export function describeNotAllowed(broker: string, namespace: string): string {
  return `EventBroker "${broker}" does not allow the namespace ${namespace}`;
}

/** Whether what is in a namespace may use a broker. */
export function allows({ spec }: BrokerResource, namespace: string): boolean {
  const { allowedNamespaces: allowed } = spec;
  return allowed === undefined || allowed.includes('*') || allowed.includes(namespace);
}
