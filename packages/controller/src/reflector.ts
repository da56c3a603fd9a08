/**
 * Keeps a store equal to what the API server has, for as long as it runs, and tells its handlers of every change.
 *
 * One loop, one state at a time:
 *
 *   listing --ok--> watching --server ends it--> watching (from where it was)
 *      ^  |            |
 *      |  error        |-- 410, Expired, version unknown to the server --> listing
 *      |  |            |-- 404: its definition was deleted --------------> waiting --> listing
 *      |  v            |-- any other error, or 90 s of silence ----------> waiting --> watching
 *      waiting <-------+-- not a word, neither in it nor for 90 s -------> waiting --> listing
 *
 * - The list comes in pages and is the truth: what it lacks is deleted (`stale`: nobody saw how it ended), what it has
 *   with an unchanged resource version causes no change. Should a page expire, the next list is not paged.
 * - Watches ask for bookmarks, so a quiet resource does not fall behind, and end by themselves after 5 to 10 minutes.
 *   Where one ends without even a bookmark, 90 s or more after the last word, everything is listed again: a server that was
 *   restored from a backup is silent, without an error, to whoever asks for a version of the lost future. That the watch was
 *   opened is no word, and what ended it does not matter: a proxy may end each after a minute.
 * - A list that fails with 404 is told once as an error: the definition is to be applied. It is found when that is done.
 * - Waiting is exponential from 250 ms to 15 s with jitter, and starts over once a watch has held for 10 s.
 *   Authentication is part of the request and fails like it: there is no error that ends the loop but `stop`.
 * - Handlers get changes in order, after the store has them (observed-store.ts).
 * - `stop` resolves when the loop has ended; after it no handler is called. `start` is idempotent, and after a `stop`
 *   begins anew with a list that is compared with the store.
 */
import { sleep, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { KubernetesError, RequestTimeoutError, ServerError, StoppedError } from './errors.ts';
import { describeError, silentLog } from './log.ts';
import type { Log } from './log.ts';
import type { ReflectorObserver } from './metrics.ts';
import { keyOf } from './object.ts';
import type { KubernetesObject, ResourceType } from './object.ts';
import { ObservedStore } from './observed-store.ts';
import type { ChangeHandler } from './observed-store.ts';
import { failureOf } from './reflector-failure.ts';
import type { Failure, Silence } from './reflector-failure.ts';
import type { ResourceClient, Selection } from './resource-client.ts';
import type { Indexer, Store } from './store.ts';

export interface ReflectorOptions<T extends KubernetesObject> extends Selection {
  resource: Pick<ResourceClient<T>, 'type' | 'pages' | 'watch'>;
  indexes?: Record<string, Indexer<T>>;
  /**
   * What to keep of an object. Default: everything but `managedFields`, which is often half of it. It must keep name,
   * namespace, uid and resource version; it may change the object it is given. What it throws is logged, and the object is
   * kept as it is by default.
   */
  transform?: (object: T) => T;
  /** Default 500. */
  pageSize?: number;
  /** Between which two numbers of seconds a watch lasts; default [300, 600]. */
  watchSeconds?: readonly [number, number];
  /** After how long a silence a watch is given up, or everything listed again; default 90,000. Bookmarks come each minute. */
  inactivityMs?: number;
  /** Default from 250 to 15,000. */
  backoffMs?: { first: number; most: number };
  observer?: ReflectorObserver;
  log?: Log;
  clock?: Clock;
}

export type ReflectorState = 'stopped' | 'listing' | 'watching' | 'waiting';

export interface Reflector<T> extends AsyncDisposable {
  readonly state: ReflectorState;
  readonly store: Store<T>;
  /** Resolves with the first list. Pending for as long as that takes. */
  readonly synced: Promise<void>;
  readonly hasSynced: boolean;
  /** The last list failed because the server does not know the resource: its definition has not been applied, or was deleted. */
  readonly isUndefined: boolean;
  start(): void;
  stop(): Promise<void>;
  /** Handlers that come late are told of what is there first. The function returned takes the handler away. */
  onChange(handler: ChangeHandler<T>): () => void;
  readonly handlers: number;
}

export function createReflector<T extends KubernetesObject>(options: ReflectorOptions<T>): Reflector<T> {
  return new RunningReflector(options);
}

/** Server-side apply's bookkeeping is of no use to a controller, but to one that asks whether it may skip a write. */
export function dropManagedFields<T extends KubernetesObject>(object: T): T {
  const { managedFields, ...metadata } = object.metadata;
  // A new object instead of `delete`, which would turn the old one into a hash table of twice the size.
  if (managedFields !== undefined) object.metadata = metadata;
  return object;
}

/** As its CustomResourceDefinition is called. */
export function nameOfDefinition({ group, plural }: Pick<ResourceType, 'group' | 'plural'>): string {
  return `${plural}.${group}`;
}

/** How long a watch must hold to count as one that works. */
const HEALTHY_MS = 10_000;

class RunningReflector<T extends KubernetesObject> implements Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #store: ObservedStore<T>;
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => undefined;
  hasSynced = false;
  isUndefined = false;
  state: ReflectorState = 'stopped';
  /** The loop that runs. Everything it does, it does only while this is still its own. */
  #run: { abort: AbortController; ended: Promise<void> } | undefined;
  #failures = 0;
  #pageSize: number;
  readonly #inactivityMs: number;
  /** When the server last said something of the resource: a page, a change or a bookmark; before that, since when it is asked. */
  #heardAt = 0;
  /** Since when the watch that is open has been. */
  #watchedSince: number | undefined;
  /** Whether that watch has said anything. */
  #heard = false;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = (options.log ?? silentLog).child({ resource: options.resource.type.plural });
    this.#store = new ObservedStore(this.#log, options.indexes);
    this.#pageSize = options.pageSize ?? 500;
    this.#inactivityMs = options.inactivityMs ?? 90_000;
    this.synced = new Promise((resolve) => (this.#resolveSynced = resolve));
    options.observer?.watch(() => ({
      objects: this.#store.size,
      lastHeardSeconds: this.#run === undefined ? undefined : this.#silentFor() / 1000,
    }));
  }

  get store(): Store<T> {
    return this.#store;
  }

  get handlers(): number {
    return this.#store.handlers;
  }

  start(): void {
    if (this.#run !== undefined) return;
    this.#heardAt = this.#clock.now();
    const abort = new AbortController();
    const before = this.#ending;
    this.#run = { abort, ended: before.then(() => this.#loop(abort.signal)) };
  }

  /** The last loop's end: a new one waits for it, so that two never run at once. */
  #ending: Promise<void> = Promise.resolve();

  stop(): Promise<void> {
    if (this.#run !== undefined) {
      this.#run.abort.abort(new StoppedError('the reflector is being stopped'));
      this.#ending = this.#run.ended;
      this.#run = undefined;
      this.state = 'stopped';
    }
    return this.#ending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  onChange(handler: ChangeHandler<T>): () => void {
    return this.#store.onChange(handler, { late: this.hasSynced });
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let version: string | undefined;
    let why = 'start';
    const over = () => signal.aborted;
    while (!over()) {
      this.#watchedSince = undefined;
      try {
        if (version === undefined) {
          this.state = 'listing';
          version = await this.#list(why, signal);
        }
        this.state = 'watching';
        for await (const seen of this.#watch(version, signal)) version = seen;
        this.#options.observer?.watchEnded('timeout');
      } catch (error) {
        if (over()) break;
        if (this.#watchedFor() >= HEALTHY_MS) this.#failures = 0;
        const failure = failureOf(error, this.#silence());
        const listing = this.state === 'listing';
        if (!listing) this.#options.observer?.watchEnded(codeOf(error));
        if (listing && failure === 'expired') this.#pageSize = 0;
        if (failure === 'expired' || (!listing && failure !== 'passing')) {
          why = failure;
          version = undefined;
        }
        await this.#wait(error, failure, signal);
      }
    }
  }

  #watchedFor(): number {
    return this.#watchedSince === undefined ? 0 : this.#clock.now() - this.#watchedSince;
  }

  #silentFor(): number {
    return this.#clock.now() - this.#heardAt;
  }

  #silence(): Silence {
    return {
      ofThisWatch: this.#watchedSince !== undefined && !this.#heard,
      lastedMs: this.#silentFor(),
      tooLongMs: this.#inactivityMs,
    };
  }

  async #wait(error: unknown, failure: Failure, signal: AbortSignal): Promise<void> {
    // The first loss of a place costs nothing to repair at once; a server that says so again and again must not be stormed.
    const atOnce = failure === 'expired' && this.#failures === 0;
    const waitMs = atOnce ? 0 : this.#backoff(error);
    this.#failures += 1;
    this.#tell(error, failure, waitMs);
    if (atOnce) return;
    this.state = 'waiting';
    await sleep(this.#clock, waitMs, signal);
  }

  #backoff(error: unknown): number {
    const { first, most } = this.#options.backoffMs ?? { first: 250, most: 15_000 };
    const wait = Math.min(first * 2 ** Math.min(this.#failures, 20), most) * (0.5 + Math.random() / 2);
    const asked = error instanceof KubernetesError ? Math.min(error.retryAfterMs ?? 0, 60_000) : 0;
    return Math.max(wait, asked);
  }

  /** In one line; that there is no definition, as an error once, however often it is asked for. */
  #tell(error: unknown, failure: Failure, waitMs: number): void {
    const fields = { ...describeError(error), waitMs: Math.round(waitMs) };
    const wasUndefined = this.isUndefined;
    this.isUndefined = this.state === 'listing' && failure === 'undefined';
    if (this.isUndefined && !wasUndefined) {
      const name = nameOfDefinition(this.#options.resource.type);
      this.#log.error(
        fields,
        `the API server does not know ${name}: apply its CustomResourceDefinition; nothing is known of it until then`,
      );
      return;
    }
    // Of a resource that never had an object, the API server sends no bookmark.
    const isOrdinary = this.isUndefined || (failure === 'silent' && this.#store.size === 0);
    const level = isOrdinary ? 'debug' : this.#failures > 3 ? 'warn' : 'info';
    const isLost = this.state === 'watching' && failure !== 'passing';
    this.#log[level](
      fields,
      isLost ? 'the watch has lost its place: listing again' : 'the reflector failed and will try again',
    );
  }

  /** Lists everything and makes the store so; the version to watch from. */
  async #list(why: string, signal: AbortSignal): Promise<string> {
    const { resource, namespace, labelSelector, fieldSelector, observer } = this.#options;
    observer?.relisted(why);
    const listed = new Map<string, T>();
    let version = '';
    for await (const page of resource.pages({
      namespace,
      labelSelector,
      fieldSelector,
      pageSize: this.#pageSize,
      timeoutMs: 60_000,
      // This loop does the waiting.
      attempts: 1,
      signal,
    })) {
      if (signal.aborted) throw signal.reason;
      this.#heardAt = this.#clock.now();
      version = page.resourceVersion;
      // Only what is to be stored is held until the last page is here, and of what has not changed nothing at all.
      for (const object of page.items) {
        const key = keyOf(object);
        listed.set(key, this.#store.unchanged(key, object) ?? this.#transformed(object));
      }
    }
    this.#pageSize = this.#options.pageSize ?? 500;
    this.isUndefined = false;
    this.#store.replace(listed, { initial: !this.hasSynced });
    if (!this.hasSynced) {
      this.hasSynced = true;
      this.#log.info({ objects: listed.size }, 'the reflector has synced');
      this.#resolveSynced();
    }
    return version;
  }

  /** Follows the changes from `version` on; yields how far it has come. */
  async *#watch(version: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const {
      resource,
      namespace,
      labelSelector,
      fieldSelector,
      watchSeconds: [least, most] = [300, 600],
    } = this.#options;
    this.#heard = false;
    for await (const event of resource.watch({
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: version,
      timeoutSeconds: Math.round(least + Math.random() * (most - least)),
      inactivityMs: this.#inactivityMs,
      onOpen: () => (this.#watchedSince = this.#clock.now()),
      signal,
    })) {
      if (signal.aborted) throw signal.reason;
      this.#heard = true;
      this.#heardAt = this.#clock.now();
      if (event.type === 'BOOKMARK') {
        if (event.resourceVersion !== '') yield event.resourceVersion;
        continue;
      }
      const key = keyOf(event.object);
      const seen = event.object.metadata.resourceVersion;
      const object = this.#transformed(event.object);
      if (event.type === 'DELETED') this.#store.remove(key, object);
      else this.#store.keep(key, object);
      if (seen !== undefined) yield seen;
    }
    if (!this.#heard && this.#silentFor() >= this.#inactivityMs) {
      throw new RequestTimeoutError('the watch ended without a word', { status: 200, request: 'watch' });
    }
    if (this.#watchedFor() >= HEALTHY_MS) {
      this.#failures = 0;
    } else if (!this.#heard) {
      // A server, or something in front of it, that ends every watch at once would be asked without pause.
      throw new ServerError('the watch ended at once', { status: 200, request: 'watch', reason: 'TooShort' });
    }
  }

  #transformed(object: T): T {
    const { transform } = this.#options;
    try {
      if (transform !== undefined) return transform(object);
    } catch (error) {
      this.#log.error(
        { ...describeError(error), key: keyOf(object) },
        'the transform failed: the object is kept without it',
      );
    }
    return dropManagedFields(object);
  }
}

function codeOf(error: unknown): string {
  return error instanceof KubernetesError ? error.code : 'error';
}
