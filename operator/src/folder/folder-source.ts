/**
 * A folder of YAML files as a source of resources: `npm start` without a cluster.
 *
 * Level, not edge: whatever the file system says happened, the whole folder is read again and compared with what is in force.
 * A file that is half written, or gone while an editor renames, costs nothing: a mistake holds what was in force, and a
 * resource counts as removed only when it is missing in two readings some time apart.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { watch } from 'chokidar';
import type { FSWatcher } from 'chokidar';
import type { Log } from '@warren/controller';
import { FolderError } from '../errors.ts';
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
import { isDeepStrictEqual } from 'node:util';
import { keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import type { KindValidator } from '../validation/crd.ts';
import { describeProblem } from './document.ts';
import type { Problem } from './document.ts';
import { readIfThere, readKeys, writeAtomically, writeKeys } from './files.ts';
import { idOf, loadFiles } from './load.ts';
import type { Loaded, LoadedResource, TextFile } from './load.ts';
import { FolderCollection } from './memory.ts';
import { addEvent, Records } from './records.ts';
import type { AnyRecord } from './records.ts';

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
  readonly subscriptions: FolderCollection<SubscriptionResource>;
  readonly publishers: FolderCollection<PublisherResource>;
  readonly brokers: FolderCollection<BrokerResource>;
  readonly #options: Required<FolderSourceOptions>;
  readonly #records: Records;
  readonly #missingSince = new Map<string, number>();
  readonly #secretListeners: ((ref: SecretRef) => void)[] = [];
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  #reread: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  /** Undefined until the folder has been read: what a former run wrote down may be out of date. */
  #problems: readonly string[] | undefined;
  #closed = false;

  private constructor(options: FolderSourceOptions) {
    this.#options = {
      onProblem: () => undefined,
      quietMs: 100,
      removedAfterMs: 1_000,
      rereadMs: 30_000,
      ...options,
    };
    this.#records = new Records(options.state);
    const now = () => new Date().toISOString();
    this.subscriptions = new FolderCollection<SubscriptionResource>('EventSubscription', this.#records, now);
    this.publishers = new FolderCollection<PublisherResource>('EventPublisher', this.#records, now);
    this.brokers = new FolderCollection<BrokerResource>('EventBroker', this.#records, now);
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

  /** The mistakes in the folder now, as `file:line: sentence`. */
  get problems(): readonly string[] {
    return this.#problems ?? [];
  }

  async #start(): Promise<void> {
    const { folder, state, log } = this.#options;
    const secrets = join(state, 'secrets');
    await mkdir(state, { recursive: true });
    await mkdir(secrets, { recursive: true, mode: 0o700 });
    await this.#claimState();
    const broken = (file: string, why: string) =>
      log.error(
        { file, why },
        'a state file cannot be read; what it described is read from the folder again',
      );
    for (const record of await this.#records.load(broken)) this.#restore(record);
    await this.#read(true);
    const changed = () => this.#soon(this.#options.quietMs);
    const resources = watch(folder, { depth: 0, ignoreInitial: true });
    const keys = watch(secrets, { ignoreInitial: true, atomic: false });
    for (const watcher of [resources, keys])
      watcher.on('error', (error) => log.warn({ error: String(error) }, 'cannot follow a folder'));
    resources.on('all', changed);
    keys.on('all', (_event, path) => this.#secretChanged(secrets, path));
    this.#watchers = [resources, keys];
    await Promise.all(
      this.#watchers.map((watcher) => new Promise<void>((done) => watcher.once('ready', done))),
    );
    // What changed between the first reading and the watchers' start.
    changed();
    this.#reread = setInterval(changed, this.#options.rereadMs);
  }

  /**
   * A state folder belongs to one folder of resources. With another one, everything the first described would look removed,
   * and would be deleted from the broker.
   */
  async #claimState(): Promise<void> {
    const { folder, state } = this.#options;
    const path = join(state, 'status', '.folder');
    let real: string;
    try {
      real = await realpath(folder);
    } catch (error) {
      throw new FolderError(`cannot read the folder ${folder}: is it there?`, { cause: error });
    }
    const mine = relative(await realpath(state), real);
    const before = await readIfThere(path);
    if (before === undefined) await writeAtomically(path, mine);
    else if (before !== mine)
      throw new FolderError(
        `the state in ${state} belongs to the folder ${resolve(state, before)}; with ${folder} everything described there would be deleted. ` +
          `Give another --state, or remove ${path} when that is what you want`,
      );
  }

  /** The folder may be written in another way than last time, relative or not: its files are known by their names. */
  #restore(record: AnyRecord): void {
    const { name, namespace } = record.resource.metadata;
    const restored = { ...record, file: join(this.#options.folder, basename(record.file)) } as never;
    const { kind } = record.resource;
    const key = kind === 'EventBroker' ? name : `${namespace ?? 'default'}/${name}`;
    this.#collectionOf(kind).restore(key, restored);
  }

  /** Reads the folder in so many milliseconds, or before: changes that go on and on do not put it off. */
  #soon(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#closed || (this.#timer !== undefined && this.#dueAt <= dueAt)) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#reading = this.#reading
        .then(() => this.#read(false))
        .catch((error: unknown) => {
          this.#options.log.error(
            { error: String(error) },
            'cannot read the folder; everything in force stays',
          );
        });
    }, ms);
  }

  async #read(first: boolean): Promise<void> {
    if (this.#closed) return;
    let read: { files: TextFile[]; unreadable: Problem[] };
    try {
      read = await this.#files();
    } catch (error) {
      if (first) throw new FolderError(`cannot read the folder ${this.#options.folder}`, { cause: error });
      await this.#report([
        `${this.#options.folder}: cannot be read (${codeOf(error)}); everything in force stays`,
      ]);
      return;
    }
    const loaded = loadFiles(
      read.files,
      this.#options.validators,
      (id) => this.#inForce(id),
      read.unreadable,
    );
    await this.#report(loaded.problems.map(describeProblem));
    for (const [id, one] of loaded.resources) {
      this.#missingSince.delete(id);
      await this.#describe(one);
    }
    for (const [id, problems] of loaded.problemsOf) await this.#complain(id, problems);
    await this.#remove(loaded, first);
  }

  /** A file that cannot be read is a mistake like any other: it holds what came from it, and the other files are read. */
  async #files(): Promise<{ files: TextFile[]; unreadable: Problem[] }> {
    const { folder } = this.#options;
    const entries = await readdir(folder, { withFileTypes: true });
    const names = entries
      .filter((entry) => !entry.isDirectory() && /^[^.].*\.ya?ml$/.test(entry.name))
      .map((entry) => entry.name)
      .sort();
    const files: TextFile[] = [];
    const unreadable: Problem[] = [];
    for (const name of names) {
      const file = join(folder, name);
      try {
        files.push({ file, text: await readFile(file, 'utf8') });
      } catch (error) {
        // Renamed or removed since the listing: another event tells, or the next reading.
        if (codeOf(error) !== 'ENOENT')
          unreadable.push({ file, line: 1, sentence: `cannot be read (${codeOf(error)})` });
      }
    }
    return { files, unreadable };
  }

  async clusterId(): Promise<string> {
    const where = `${hostname()}:${await realpath(this.#options.folder)}`;
    return createHash('sha256').update(where).digest('hex').slice(0, 16);
  }

  #inForce(id: string): unknown {
    const [kind, key] = splitId(id);
    return this.#collectionOf(kind).get(key);
  }

  async #describe(one: LoadedResource): Promise<void> {
    await this.#collectionOf(one.kind).describe(one.key, one);
  }

  /** What is done to a record of one kind is done to it in the collection of that kind. */
  #collectionOf(kind: string | undefined): FolderCollection<BoundResource | BrokerResource> {
    if (kind === 'EventBroker') return this.brokers;
    return kind === 'EventPublisher' ? this.publishers : this.subscriptions;
  }

  async #complain(id: string, problems: readonly Problem[]): Promise<void> {
    const [kind, key] = splitId(id);
    this.#missingSince.delete(id);
    await this.#collectionOf(kind).complain(key, problems.map(describeProblem));
  }

  /** What the folder no longer describes. A resource whose file has an unreadable part is not missing: nobody can tell. */
  async #remove(loaded: Loaded, first: boolean): Promise<void> {
    for (const collection of [this.subscriptions, this.publishers, this.brokers]) {
      for (const key of collection.keys()) {
        const id = idOf(collection.kind, key);
        const record = collection.record(key);
        if (record === undefined || loaded.resources.has(id) || loaded.held.has(id)) continue;
        if (loaded.heldFiles.has(record.file)) {
          await this.#complain(
            id,
            loaded.problems.filter(({ file }) => file === record.file),
          );
          continue;
        }
        const since = this.#missingSince.get(id) ?? performance.now();
        this.#missingSince.set(id, since);
        // At the start there is no editor in the middle of a rename to wait for, but there may be: wait all the same.
        if (!first && performance.now() - since >= this.#options.removedAfterMs) {
          this.#missingSince.delete(id);
          await collection.remove(key);
          if (collection !== this.brokers && collection.get(key) === undefined)
            await this.#forgetBinding(collection.kind, key);
        } else this.#soon(this.#options.removedAfterMs);
      }
    }
  }

  async #report(lines: readonly string[]): Promise<void> {
    if (isDeepStrictEqual(this.#problems, lines)) return;
    const before = new Set(this.#problems);
    this.#problems = lines;
    for (const line of lines) {
      if (before.has(line)) continue;
      this.#options.onProblem(line);
    }
    await this.#records.saveProblems(lines);
  }

  #secretChanged(root: string, path: string): void {
    const [namespace, name] = relative(root, path).split(/[\\/]/);
    if (namespace === undefined || name === undefined) return;
    for (const listener of this.#secretListeners) listener({ namespace, name });
  }

  onSecretChange(listener: (ref: SecretRef) => void): void {
    this.#secretListeners.push(listener);
  }

  async readSecret({ namespace, name }: SecretRef): Promise<Record<string, string> | undefined> {
    const entries = await readKeys(join(this.#options.state, 'secrets', namespace, name));
    if (entries === undefined) return undefined;
    // A person wrote these files, and an editor ended them with a line feed.
    return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, value.trimEnd()]));
  }

  async addFinalizer<T extends BoundResource>(resource: T): Promise<T> {
    const changed = await this.#collectionOf(resource.kind).change(keyOfBound(resource), (record) => {
      const { metadata } = record.resource;
      const finalizers = [...new Set([...(metadata.finalizers ?? []), FINALIZER])];
      return { ...record, resource: { ...record.resource, metadata: { ...metadata, finalizers } } };
    });
    return (changed as T | undefined) ?? resource;
  }

  async removeFinalizer(resource: BoundResource): Promise<void> {
    const key = keyOfBound(resource);
    const collection = this.#collectionOf(resource.kind);
    // What came back in the meantime was not deleted: its file is there again.
    if (collection.get(key)?.metadata.deletionTimestamp === undefined) return;
    await this.#forgetBinding(collection.kind, key);
    await collection.forget(key);
  }

  async letGo(resource: BoundResource): Promise<void> {
    await this.#collectionOf(resource.kind).change(keyOfBound(resource), (record) => {
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
    const telling = this.#collectionOf(kind).change(key, (record) => ({
      ...record,
      events: addEvent(record.events, event, now),
    }));
    telling.catch((error: unknown) => {
      this.#options.log.warn({ error: String(error) }, 'an event could not be written');
    });
  }

  writeBinding(one: BoundResource, _name: string, entries: Record<string, string>): Promise<boolean> {
    return writeKeys(this.#binding(namespaceOf(one), one.metadata.name), entries);
  }

  readBinding({ metadata }: BoundResource): Promise<Record<string, string> | undefined> {
    return readKeys(this.#binding(metadata.namespace ?? 'default', metadata.name));
  }

  /** A publisher's name may be a subscription's, which has the binding then: publishers/standing.ts. */
  async #forgetBinding(kind: Kind, key: string): Promise<void> {
    if (kind === 'EventPublisher' && this.subscriptions.get(key) !== undefined) return;
    const [namespace = '', name = ''] = key.split('/');
    await rm(this.#binding(namespace, name), { recursive: true, force: true });
  }

  #binding(namespace: string, name: string): string {
    return join(this.#options.state, 'bindings', namespace, name);
  }

  namespaceIsEnding(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#reread);
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
    await this.#reading;
    await Promise.all([this.subscriptions, this.publishers, this.brokers].map((one) => one.settled()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException | null)?.code ?? error);
}

function splitId(id: string): [kind: string, key: string] {
  const space = id.indexOf(' ');
  return [id.slice(0, space), id.slice(space + 1)];
}
