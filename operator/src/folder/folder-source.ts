/**
 * A folder of YAML files as a source of resources: `npm start` without a cluster.
 *
 * Level, not edge: whatever the file system says happened (following.ts), the whole folder is read again and compared with what
 * is in force (reading.ts). What is in force, and what becomes of it, lies in the state folder: records.ts, state-folder.ts.
 */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Log } from '@warren/controller';
import { FINALIZER } from '../resources.ts';
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
import { keyOfBound } from '../subscriptions/claims.ts';
import type { KindValidator } from '../validation/crd.ts';
import { Collections } from './collections.ts';
import { Following } from './following.ts';
import type { FolderCollection } from './memory.ts';
import { FolderReading } from './reading.ts';
import { addEvent, Records } from './records.ts';
import { StateFolder } from './state-folder.ts';

export interface FolderSourceOptions {
  /** Where the resources are written. */
  folder: string;
  /** Where the operator keeps status, bindings and secrets. */
  state: string;
  validators: ReadonlyMap<string, KindValidator>;
  log: Log;
  /** Prints a mistake for the person at the terminal. */
  onProblem?: (line: string) => void;
  /** How long a burst of changes may last before the folder is read: milliseconds. */
  quietMs?: number;
  /** How long a resource must be missing before that is a deletion: milliseconds. */
  removedAfterMs?: number;
  /** The folder is read again so often, whatever the file system says: milliseconds. */
  rereadMs?: number;
}

export class FolderSource implements ResourceSource {
  readonly mode = 'folder';
  readonly #folder: string;
  readonly #log: Log;
  readonly #records: Records;
  readonly #state: StateFolder;
  readonly #collections: Collections;
  readonly #reading: FolderReading;
  readonly #following: Following;
  readonly #secretListeners: ((ref: SecretRef) => void)[] = [];

  private constructor(options: FolderSourceOptions) {
    const { folder, state, validators, log } = options;
    const { onProblem = () => undefined, quietMs = 100, removedAfterMs = 1_000, rereadMs = 30_000 } = options;
    this.#folder = folder;
    this.#log = log;
    this.#records = new Records(state);
    this.#state = new StateFolder(state);
    this.#collections = new Collections(this.#records);
    this.#reading = new FolderReading({
      ...{ folder, validators, removedAfterMs, onProblem },
      collections: this.#collections,
      saveProblems: (lines) => this.#records.saveProblems(lines),
      readAgain: (ms) => this.#following.soon(ms),
      gone: (kind, key) => this.#forgetBinding(kind, key),
    });
    this.#following = new Following({
      ...{ folder, quietMs, rereadMs, log },
      secrets: this.#state.secrets,
      read: () => this.#reading.read({ first: false }),
      secretChanged: (ref) => this.#secretListeners.forEach((listener) => listener(ref)),
    });
  }

  /** Reads the state and the folder, and follows both. Throws FolderError when the folder cannot be read. */
  static async open(options: FolderSourceOptions): Promise<FolderSource> {
    const source = new FolderSource(options);
    try {
      await source.#start();
    } catch (error) {
      await source.close();
      throw error;
    }
    return source;
  }

  get subscriptions(): FolderCollection<SubscriptionResource> {
    return this.#collections.subscriptions;
  }

  get publishers(): FolderCollection<PublisherResource> {
    return this.#collections.publishers;
  }

  get brokers(): FolderCollection<BrokerResource> {
    return this.#collections.brokers;
  }

  /** The mistakes in the folder now, as `file:line: sentence`. */
  get problems(): readonly string[] {
    return this.#reading.problems;
  }

  async #start(): Promise<void> {
    await this.#state.make();
    await this.#state.claimFor(this.#folder);
    const broken = (file: string, why: string) =>
      this.#log.error(
        { file, why },
        'a state file cannot be read; what it described is read from the folder again',
      );
    for (const record of await this.#records.load(broken)) {
      // The folder may be written in another way than last time, relative or not: its files are known by their names.
      this.#collections.restore({ ...record, file: join(this.#folder, basename(record.file)) });
    }
    await this.#reading.read({ first: true });
    await this.#following.start();
  }

  async clusterId(): Promise<string> {
    const where = `${hostname()}:${await realpath(this.#folder)}`;
    return createHash('sha256').update(where).digest('hex').slice(0, 16);
  }

  onSecretChange(listener: (ref: SecretRef) => void): void {
    this.#secretListeners.push(listener);
  }

  readSecret(ref: SecretRef): Promise<Record<string, string> | undefined> {
    return this.#state.readSecret(ref);
  }

  async addFinalizer<T extends BoundResource>(resource: T): Promise<T> {
    const changed = await this.#collections.of(resource.kind).change(keyOfBound(resource), (record) => {
      const { metadata } = record.resource;
      const finalizers = [...new Set([...(metadata.finalizers ?? []), FINALIZER])];
      return { ...record, resource: { ...record.resource, metadata: { ...metadata, finalizers } } };
    });
    return (changed as T | undefined) ?? resource;
  }

  async removeFinalizer(resource: BoundResource): Promise<void> {
    const key = keyOfBound(resource);
    const collection = this.#collections.of(resource.kind);
    // What came back in the meantime was not deleted: its file is there again.
    if (collection.get(key)?.metadata.deletionTimestamp === undefined) return;
    await this.#forgetBinding(collection.kind, key);
    await collection.forget(key);
  }

  async letGo(resource: BoundResource): Promise<void> {
    await this.#collections.of(resource.kind).change(keyOfBound(resource), (record) => {
      const { finalizers: _, ...metadata } = record.resource.metadata;
      return { ...record, resource: { ...record.resource, metadata } };
    });
  }

  async writeSubscriptionStatus(
    resource: SubscriptionResource,
    status: SubscriptionStatus,
  ): Promise<boolean> {
    const key = keyOfBound(resource);
    if (isDeepStrictEqual(this.subscriptions.get(key)?.status, status)) return false;
    await this.subscriptions.change(key, (record) => ({
      ...record,
      resource: { ...record.resource, status },
    }));
    return true;
  }

  async writePublisherStatus(resource: PublisherResource, status: PublisherStatus): Promise<boolean> {
    const key = keyOfBound(resource);
    if (isDeepStrictEqual(this.publishers.get(key)?.status, status)) return false;
    await this.publishers.change(key, (record) => ({ ...record, resource: { ...record.resource, status } }));
    return true;
  }

  async writeBrokerStatus(resource: BrokerResource, status: BrokerStatus): Promise<boolean> {
    const key = resource.metadata.name;
    if (isDeepStrictEqual(this.brokers.get(key)?.status, status)) return false;
    await this.brokers.change(key, (record) => ({ ...record, resource: { ...record.resource, status } }));
    return true;
  }

  tell(resource: BoundResource | BrokerResource, event: StoryEvent): void {
    const now = new Date().toISOString();
    const { kind, metadata } = resource;
    const key = kind === 'EventBroker' ? metadata.name : keyOfBound(resource);
    const telling = this.#collections.of(kind).change(key, (record) => ({
      ...record,
      events: addEvent(record.events, event, now),
    }));
    telling.catch((error: unknown) => {
      this.#log.warn({ error: String(error) }, 'an event could not be written');
    });
  }

  writeBinding(one: BoundResource, _name: string, entries: Record<string, string>): Promise<boolean> {
    return this.#state.writeBinding(one, entries);
  }

  readBinding(one: BoundResource): Promise<Record<string, string> | undefined> {
    return this.#state.readBinding(one);
  }

  /** A publisher's name may be a subscription's, which has the binding then: publishers/standing.ts. */
  async #forgetBinding(kind: Kind, key: string): Promise<void> {
    if (kind === 'EventBroker') return;
    if (kind === 'EventPublisher' && this.subscriptions.get(key) !== undefined) return;
    await this.#state.forgetBinding(key);
  }

  namespaceIsEnding(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async close(): Promise<void> {
    await this.#following.close();
    await this.#collections.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
