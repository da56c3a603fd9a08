/**
 * Where resources live: a folder or a Kubernetes API server. The reconcilers know only this.
 *
 * Reads are from memory and as fresh as the last write through this source. Writes say what the world should be told;
 * a write that would change nothing is not made.
 */
import type { Source } from '@warren/controller';
import type {
  BoundResource,
  BrokerResource,
  BrokerStatus,
  PublisherResource,
  PublisherStatus,
  SubscriptionResource,
  SubscriptionStatus,
} from './resources.ts';

export interface Collection<T> {
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Changes whenever anything that `list` returns changes. */
  readonly revision: number;
  /** Enqueues the keys of what changed, for a controller. */
  readonly changes: Source;
  /** Calls back whenever what `get` returns of a key has changed. */
  onChange(listener: (key: string) => void): void;
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
  /** Tells this cluster, or folder, from others, as far as anything does: never a secret. */
  clusterId(): Promise<string | undefined>;
  readonly subscriptions: Collection<SubscriptionResource>;
  readonly publishers: Collection<PublisherResource>;
  readonly brokers: Collection<BrokerResource>;
  /** Enqueue whose binding was changed by hand, where the source can tell. */
  readonly bindingChanges?: { subscriptions: Source; publishers: Source };
  /** Undefined when there is no such secret. */
  readSecret(ref: SecretRef): Promise<Record<string, string> | undefined>;
  /** Calls back when a secret may have changed, where the source can tell. */
  onSecretChange(listener: (ref: SecretRef) => void): void;
  addFinalizer<T extends BoundResource>(resource: T): Promise<T>;
  /** After it a resource that is being deleted is gone. */
  removeFinalizer(resource: BoundResource): Promise<void>;
  /** Takes the finalizer off one that stays. */
  letGo(resource: BoundResource): Promise<void>;
  /** True when something was written. */
  writeSubscriptionStatus(resource: SubscriptionResource, status: SubscriptionStatus): Promise<boolean>;
  writePublisherStatus(resource: PublisherResource, status: PublisherStatus): Promise<boolean>;
  writeBrokerStatus(resource: BrokerResource, status: BrokerStatus): Promise<boolean>;
  /** Tells what happened to a resource. Never throws: a story that cannot be told changes nothing. */
  tell(resource: BoundResource | BrokerResource, event: StoryEvent): void;
  /** Hands a service its settings. True when something was written. A publisher's may become a subscription's, and never the other way. */
  writeBinding(
    resource: BoundResource,
    name: string,
    entries: Readonly<Record<string, string>>,
  ): Promise<boolean>;
  /**
   * What was handed to a service; undefined where nothing was, or it is somebody else's. It may be some moments old unless it is
   * asked for `fresh`.
   */
  readBinding(
    resource: BoundResource,
    name: string,
    options?: { fresh?: boolean },
  ): Promise<Record<string, string> | undefined>;
  /** The whole namespace is going: nothing may wait for its consumers any more. */
  namespaceIsEnding(namespace: string): Promise<boolean>;
}
