/**
 * The resources of a folder in memory, in front of their records on disk, with what an API server would add: uid,
 * generation, creation and deletion times, finalizers.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Enqueue } from '@warren/controller';
import type { BoundResource, BrokerResource, Kind } from '../resources.ts';
import type { Collection } from '../source.ts';
import type { LoadedResource } from './load.ts';
import type { FolderRecord, Records } from './records.ts';

type AnyResource = BoundResource | BrokerResource;

/** One kind's resources. Every change is on disk before it is told. */
export class FolderCollection<T extends AnyResource> implements Collection<T> {
  readonly kind: Kind;
  readonly #records: Records;
  readonly #now: () => string;
  readonly #byKey = new Map<string, FolderRecord<T>>();
  readonly #saving = new Map<string, Promise<void>>();
  readonly #listeners: ((key: string) => void)[] = [];
  #enqueue: Enqueue | undefined;
  #listed: readonly T[] | undefined;
  revision = 0;

  constructor(kind: Kind, records: Records, now: () => string) {
    this.kind = kind;
    this.#records = records;
    this.#now = now;
  }

  get(key: string): T | undefined {
    return this.#byKey.get(key)?.resource;
  }

  list(): readonly T[] {
    this.#listed ??= [...this.#byKey.values()].map((record) => record.resource);
    return this.#listed;
  }

  record(key: string): FolderRecord<T> | undefined {
    return this.#byKey.get(key);
  }

  keys(): string[] {
    return [...this.#byKey.keys()];
  }

  get changes() {
    return {
      name: `folder ${this.kind}`,
      start: (enqueue: Enqueue) => {
        this.#enqueue = enqueue;
        for (const key of this.#byKey.keys()) enqueue(key);
      },
      synced: Promise.resolve(),
      stop: () => {
        this.#enqueue = undefined;
        return Promise.resolve();
      },
    };
  }

  onChange(listener: (key: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes a record over from disk. */
  restore(key: string, record: FolderRecord<T>): void {
    this.#byKey.set(key, record);
    this.#touch(key);
  }

  /** What the folder says about a key now. */
  async describe(key: string, loaded: LoadedResource): Promise<void> {
    const before = this.#byKey.get(key);
    const given = loaded.resource as unknown as T;
    const { labels, annotations, name, namespace } = given.metadata;
    const written = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    };
    const head = {
      ...(given.apiVersion === undefined ? {} : { apiVersion: given.apiVersion }),
      kind: this.kind,
    };
    if (before === undefined) {
      const metadata = { ...written, uid: randomUUID(), generation: 1, creationTimestamp: this.#now() };
      const resource = { ...head, metadata, spec: given.spec } as unknown as T;
      await this.#put(key, { resource, file: loaded.file, problems: [], events: [] });
      return;
    }
    // A file that comes back cancels the deletion: what is missing on the broker is made again.
    const { labels: _l, annotations: _a, deletionTimestamp: deleted, ...kept } = before.resource.metadata;
    const sameSpec = isDeepStrictEqual(before.resource.spec, given.spec);
    const metadata = {
      ...kept,
      ...written,
      generation: (kept.generation ?? 1) + (sameSpec ? 0 : 1),
    };
    const unchanged =
      sameSpec &&
      deleted === undefined &&
      isDeepStrictEqual(metadata, before.resource.metadata) &&
      before.file === loaded.file &&
      before.problems.length === 0;
    if (unchanged) return;
    const resource = { ...before.resource, ...head, metadata, spec: given.spec };
    await this.#put(key, { ...before, resource, file: loaded.file, problems: [] });
  }

  /** What is wrong with the file of a key. What is in force stays. */
  async complain(key: string, problems: readonly string[]): Promise<void> {
    const before = this.#byKey.get(key);
    if (before === undefined || isDeepStrictEqual(before.problems, problems)) return;
    this.#byKey.set(key, { ...before, problems: [...problems] });
    await this.#save(key);
  }

  /** The file is gone. What has a finalizer waits for it. */
  async remove(key: string): Promise<void> {
    const before = this.#byKey.get(key);
    if (before === undefined || before.resource.metadata.deletionTimestamp !== undefined) return;
    if ((before.resource.metadata.finalizers ?? []).length === 0) {
      await this.forget(key);
      return;
    }
    const metadata = { ...before.resource.metadata, deletionTimestamp: this.#now() };
    await this.#put(key, { ...before, resource: { ...before.resource, metadata }, problems: [] });
  }

  async forget(key: string): Promise<void> {
    this.#byKey.delete(key);
    this.#touch(key);
    await this.#save(key);
    this.#enqueue?.(key);
  }

  /** Changes a record without asking for a reconcile: the change is the reconciler's own. */
  async change(key: string, change: (record: FolderRecord<T>) => FolderRecord<T>): Promise<T | undefined> {
    const before = this.#byKey.get(key);
    if (before === undefined) return undefined;
    const after = change(before);
    this.#byKey.set(key, after);
    this.#touch(key);
    await this.#save(key);
    return after.resource;
  }

  /** What cannot be written to the disk did not happen: the next reading of the folder tries again. */
  async #put(key: string, record: FolderRecord<T>): Promise<void> {
    const before = this.#byKey.get(key);
    this.#byKey.set(key, record);
    this.#touch(key);
    try {
      await this.#save(key);
    } catch (error) {
      if (this.#byKey.get(key) === record) {
        if (before === undefined) this.#byKey.delete(key);
        else this.#byKey.set(key, before);
        this.#touch(key);
      }
      throw error;
    }
    this.#enqueue?.(key);
  }

  #touch(key: string): void {
    this.revision += 1;
    this.#listed = undefined;
    for (const listener of this.#listeners) listener(key);
  }

  /** One write at a time for a key, always of the newest version: an older one can never come last. */
  async #save(key: string): Promise<void> {
    const previous = this.#saving.get(key) ?? Promise.resolve();
    const saving = previous
      .catch(() => undefined)
      .then(async () => {
        const record = this.#byKey.get(key);
        if (record === undefined) await this.#records.forget(this.kind, key);
        else await this.#records.save(this.kind, key, record as never);
      });
    this.#saving.set(key, saving);
    try {
      await saving;
    } finally {
      if (this.#saving.get(key) === saving) this.#saving.delete(key);
    }
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#saving.values());
  }
}
