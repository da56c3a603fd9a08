/** The resources the operator reconciles, as both sources hold them. */
import type { CustomResource } from '@warren/controller';
import type { EventSubscriptionSpec } from '@warren/topology';

export const API_VERSION = 'warren.events/v1alpha1';

/** Holds a subscription until its broker objects are dealt with. It is also the claim on their names: see claims.ts. */
export const FINALIZER = 'warren.events/topology';

/** `"true"` allows the operator to take over broker objects that it did not make. */
export const ADOPT_ANNOTATION = 'warren.events/adopt';

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
  /** Preparing, Draining, Recreating, Returning, Finishing. */
  phase: string;
  /** Messages moved so far; each is moved at most twice. */
  moved: number;
  /** Messages that are not yet where they belong. */
  remaining?: number;
}

export interface SubscriptionStatus {
  observedGeneration?: number;
  conditions?: Condition[];
  queue?: string;
  deadLetterQueue?: string;
  /** `broker` (delayed retry) or `ladder` (wait queues). */
  retryMode?: string;
  messages?: { ready: number; unacked: number; deadLetters: number };
  consumers?: number;
  /** The Service Binding specification's reference to the Secret with the consumer's settings. */
  binding?: { name: string };
  migration?: MigrationStatus;
}

export interface BrokerSpec {
  secretRef: { namespace: string; name: string };
  /** Names, or `*` for every namespace. */
  allowedNamespaces?: string[];
}

export interface BrokerStatus {
  observedGeneration?: number;
  conditions?: Condition[];
  version?: string;
}

export type SubscriptionResource = CustomResource<EventSubscriptionSpec, SubscriptionStatus>;
export type BrokerResource = CustomResource<BrokerSpec, BrokerStatus>;

export type Kind = 'EventSubscription' | 'EventBroker';

/** Whether the subscriptions of a namespace may use a broker. */
export function allows({ spec }: BrokerResource, namespace: string): boolean {
  const { allowedNamespaces: allowed } = spec;
  return allowed === undefined || allowed.includes('*') || allowed.includes(namespace);
}
