/**
 * Where resources live: a folder or a Kubernetes API server. The reconcilers know only this.
 *
 * Reads are from memory and as fresh as the last write through this source. Writes say what the world should be told;
 * a write that would change nothing is not made.
 */
import type { Source } from '@warren/controller';
import type { BrokerResource, BrokerStatus, SubscriptionResource, SubscriptionStatus } from './resources.ts';

export interface Collection<T> {
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Changes whenever anything that `list` returns changes. */
  readonly revision: number;
  /** Enqueues the keys of what changed, for a controller. */
  readonly changes: Source;
}

export interface StoryEvent {
  type: 'Normal' | 'Warning';
  /** PascalCase, stable: what alerts are made on. */
  reason: string;
  /** What was done, as a verb: `Declare`, `Repair`. */
  action: string;
  message: string;
}

export interface SecretRef {
  namespace: string;
  name: string;
}

export interface ResourceSource extends AsyncDisposable {
  readonly mode: 'folder' | 'kubernetes';
  /** The only namespace whose subscriptions are seen; all of them when it is not there. */
  readonly namespace?: string;
  readonly subscriptions: Collection<SubscriptionResource>;
  readonly brokers: Collection<BrokerResource>;
  /** Enqueues subscriptions whose binding was changed by hand, where the source can tell. */
  readonly bindingChanges?: Source;
  /** Undefined when there is no such secret. */
  readSecret(ref: SecretRef): Promise<Record<string, string> | undefined>;
  /** Calls back when a secret may have changed, where the source can tell. */
  onSecretChange(listener: (ref: SecretRef) => void): void;
  addFinalizer(subscription: SubscriptionResource): Promise<SubscriptionResource>;
  /** After it a resource that is being deleted is gone. */
  removeFinalizer(subscription: SubscriptionResource): Promise<void>;
  /** True when something was written. */
  writeSubscriptionStatus(resource: SubscriptionResource, status: SubscriptionStatus): Promise<boolean>;
  writeBrokerStatus(resource: BrokerResource, status: BrokerStatus): Promise<boolean>;
  /** Tells what happened to a resource. Never throws: a story that cannot be told changes nothing. */
  tell(resource: SubscriptionResource | BrokerResource, event: StoryEvent): void;
  /** Hands a consumer its settings. True when something was written. */
  writeBinding(
    subscription: SubscriptionResource,
    name: string,
    entries: Readonly<Record<string, string>>,
  ): Promise<boolean>;
  /** The whole namespace is going: nothing may wait for its consumers any more. */
  namespaceIsEnding(namespace: string): Promise<boolean>;
}
