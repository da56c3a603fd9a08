/** The resources of a folder, by their kinds. */
import type { BoundResource, BrokerResource, PublisherResource, SubscriptionResource } from '../resources.ts';
import { FolderCollection } from './memory.ts';
import type { AnyRecord, Records } from './records.ts';

export class Collections {
  readonly subscriptions: FolderCollection<SubscriptionResource>;
  readonly publishers: FolderCollection<PublisherResource>;
  readonly brokers: FolderCollection<BrokerResource>;

  constructor(records: Records) {
    const now = () => new Date().toISOString();
    this.subscriptions = new FolderCollection<SubscriptionResource>('EventSubscription', records, now);
    this.publishers = new FolderCollection<PublisherResource>('EventPublisher', records, now);
    this.brokers = new FolderCollection<BrokerResource>('EventBroker', records, now);
  }

  get all() {
    return [this.subscriptions, this.publishers, this.brokers] as const;
  }

  /** What is done to a record of one kind is done to it in the collection of that kind. */
  of(kind: string | undefined): FolderCollection<BoundResource | BrokerResource> {
    if (kind === 'EventBroker') return this.brokers;
    return kind === 'EventPublisher' ? this.publishers : this.subscriptions;
  }

  /** Takes a record over from disk. */
  restore(record: AnyRecord): void {
    const { kind, metadata } = record.resource;
    const { name, namespace } = metadata;
    const key = kind === 'EventBroker' ? name : `${namespace ?? 'default'}/${name}`;
    this.of(kind).restore(key, record);
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await Promise.all(this.all.map((one) => one.settled()));
  }
}
