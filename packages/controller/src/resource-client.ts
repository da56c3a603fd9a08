/**
 * Reads and writes the objects of one resource, typed.
 *
 * Every call throws a KubernetesError (errors.ts) and honours `signal`; http.ts tells what is retried. Writes that can
 * overwrite somebody else's are guarded: `replace` and `patchFinalizers` by resource version, `delete` by uid where one is
 * given. Server-side apply takes a field from another manager by force unless told otherwise: a
 * controller is the owner of what it applies.
 */
import { BadRequestError, ConflictError, NotFoundError } from './errors.ts';
import type { Http, Query } from './http.ts';
import { apiVersionOf } from './object.ts';
import type { CustomResource, KubernetesObject, Ref, ResourceType } from './object.ts';
import { watchStream } from './watch-stream.ts';
import type { WatchEvent } from './watch-stream.ts';

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** For each attempt. */
  timeoutMs?: number | undefined;
  /** 1: no retry. */
  attempts?: number | undefined;
  /** Waits for no socket that other requests use: for what must be in time, such as the renewal of a lease. */
  urgent?: boolean | undefined;
}

export interface WriteOptions extends CallOptions {
  fieldManager?: string;
  /**
   * Whether a field that the server does not know is an error (Strict: BadRequestError) or is dropped (Ignore, the default). The
   * server's own default would be a warning, which nobody reads here, and for which it goes through the body of an apply twice.
   */
  fieldValidation?: 'Ignore' | 'Strict';
  /** Validates and answers as if, but stores nothing. */
  dryRun?: boolean;
}

export interface ApplyOptions extends WriteOptions {
  /** Take fields that another manager owns; default true. */
  force?: boolean;
}

export interface StatusOptions extends ApplyOptions {
  /** Throws ConflictError, and writes nothing, unless it is the current one. */
  resourceVersion?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  propagation?: 'Background' | 'Foreground' | 'Orphan';
}

export interface Selection {
  /** Default: all namespaces. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
}

export interface ListOptions extends CallOptions, Selection {
  /** Objects a page; default 500; 0 is everything in one answer. */
  pageSize?: number;
  resourceVersion?: string;
}

export interface Page<T> {
  items: T[];
  /** The same for all pages of a list: where a watch can begin. */
  resourceVersion: string;
}

export interface WatchOptions extends Selection {
  resourceVersion: string;
  /** The server ends the watch after so many seconds. */
  timeoutSeconds?: number;
  inactivityMs?: number;
  signal?: AbortSignal;
  onOpen?: () => void;
}

interface RawList<T> {
  items: T[] | null;
  metadata?: { continue?: string; resourceVersion?: string };
}

export class ResourceClient<T extends KubernetesObject> {
  readonly type: ResourceType;
  readonly #http: Http;
  readonly fieldManager: string;

  /** Made by `cluster.resource(type)`. */
  constructor(http: Http, type: ResourceType, fieldManager: string) {
    this.type = type;
    this.#http = http;
    this.fieldManager = fieldManager;
  }

  /** `apiVersion`, as in the object. */
  get apiVersion(): string {
    return apiVersionOf(this.type);
  }

  async get(ref: Ref, options: CallOptions = {}): Promise<T> {
    return (await this.#http.json({ method: 'GET', path: this.#path(ref), ...call(options) })) as T;
  }

  /** Undefined when there is none. */
  async find(ref: Ref, options: CallOptions = {}): Promise<T | undefined> {
    try {
      return await this.get(ref, options);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  /** All pages. Throws GoneError when the list takes so long that its next page has expired. */
  async list(options: ListOptions = {}): Promise<Page<T>> {
    const all: Page<T> = { items: [], resourceVersion: '' };
    for await (const { items, resourceVersion } of this.pages(options)) {
      all.items = all.items.length === 0 ? items : all.items.concat(items);
      all.resourceVersion = resourceVersion;
    }
    return all;
  }

  async *pages({ pageSize = 500, resourceVersion, ...options }: ListOptions = {}): AsyncGenerator<
    Page<T>,
    void,
    undefined
  > {
    let next: string | undefined;
    do {
      const list = (await this.#http.json({
        method: 'GET',
        path: this.#collection(options.namespace),
        query: {
          ...select(options),
          limit: pageSize === 0 ? undefined : pageSize,
          continue: next,
          resourceVersion: next === undefined ? resourceVersion : undefined,
        },
        ...call(options),
      })) as RawList<T>;
      next = list.metadata?.continue === '' ? undefined : list.metadata?.continue;
      const items = list.items ?? [];
      // The items of a list do not say what they are.
      for (const item of items) {
        item.apiVersion ??= this.apiVersion;
        item.kind ??= this.type.kind;
      }
      yield { items, resourceVersion: list.metadata?.resourceVersion ?? '' };
    } while (next !== undefined);
  }

  /** See watch-stream.ts for how it ends. Always asks for bookmarks. */
  watch({
    resourceVersion,
    timeoutSeconds,
    inactivityMs,
    signal,
    onOpen,
    ...selection
  }: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined> {
    return watchStream<T>(this.#http, {
      path: this.#collection(selection.namespace),
      query: { ...select(selection), resourceVersion, timeoutSeconds, allowWatchBookmarks: true },
      inactivityMs,
      signal,
      onOpen,
    });
  }

  /** Throws AlreadyExistsError. Not repeated when the outcome of the first attempt is unknown. */
  create(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write('POST', this.#collection(object.metadata.namespace), this.#whole(object), options);
  }

  /** Throws ConflictError unless `metadata.resourceVersion` is the current one. */
  replace(object: T, options: WriteOptions = {}): Promise<T> {
    return this.#write('PUT', this.#path(object.metadata), this.#whole(object), options);
  }

  /** Server-side apply: creates or changes, and owns exactly the fields given. */
  apply(object: Partial<T> & KubernetesObject, options: ApplyOptions = {}): Promise<T> {
    return this.#apply(this.#path(object.metadata), this.#whole(object), options);
  }

  /**
   * Server-side apply of the status alone. With a `uid`, throws ConflictError when it went to another object of that name:
   * the API server does not look at the uid here (an update of the status takes the metadata of whatever is there), so the other
   * one has that status until it is reconciled itself. Where it may not have it for a moment, say a `resourceVersion`.
   */
  async applyStatus(
    ref: Ref & { uid?: string | undefined },
    status: StatusOf<T>,
    { resourceVersion, ...options }: StatusOptions = {},
  ): Promise<T> {
    const { name, namespace, uid } = ref;
    const path = this.#path(ref, 'status');
    const metadata = { name, namespace, resourceVersion };
    const written = await this.#apply(path, this.#whole({ metadata, status }), options);
    if (uid === undefined || written.metadata.uid === uid) return written;
    throw new ConflictError(`${path}: the object was deleted and made again`, {
      status: 409,
      reason: 'Conflict',
      request: `PATCH ${path}`,
    });
  }

  /** JSON merge patch (RFC 7386): what is null is removed. */
  mergePatch(ref: Ref, patch: object, options: WriteOptions & { subresource?: string } = {}): Promise<T> {
    const path = this.#path(ref, options.subresource);
    return this.#write('PATCH', path, patch, options, 'application/merge-patch+json');
  }

  /** Sets the finalizers of the object as it was read: throws ConflictError if it has changed since. */
  patchFinalizers(object: T, finalizers: string[], options: WriteOptions = {}): Promise<T> {
    const { resourceVersion, uid } = object.metadata;
    return this.mergePatch(object.metadata, { metadata: { finalizers, resourceVersion, uid } }, options);
  }

  /** What is gone already counts as deleted. Throws ConflictError when uid or resourceVersion is another one. */
  async delete(
    ref: Ref,
    { uid, resourceVersion, propagation, ...options }: DeleteOptions = {},
  ): Promise<void> {
    const guarded = uid !== undefined || resourceVersion !== undefined;
    try {
      await this.#http.json({
        method: 'DELETE',
        path: this.#path(ref),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          ...(guarded ? { preconditions: { uid, resourceVersion } } : {}),
          ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
        },
        ...call(options),
      });
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  #apply(path: string, body: object, options: ApplyOptions): Promise<T> {
    // A JSON document is a YAML document.
    return this.#write('PATCH', path, body, options, 'application/apply-patch+yaml', {
      force: options.force ?? true,
    });
  }

  async #write(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: object,
    {
      fieldManager = this.fieldManager,
      fieldValidation = 'Ignore',
      dryRun = false,
      ...options
    }: WriteOptions,
    contentType = 'application/json',
    query: Query = {},
  ): Promise<T> {
    const written = await this.#http.json({
      method,
      path,
      body,
      contentType,
      query: { ...query, fieldManager, fieldValidation, dryRun: dryRun ? 'All' : undefined },
      ...call(options),
    });
    return written as T;
  }

  #whole(object: object): object {
    return { apiVersion: this.apiVersion, kind: this.type.kind, ...object };
  }

  #collection(namespace: string | undefined): string {
    const { group, version, plural, namespaced } = this.type;
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const inside = namespaced && namespace !== undefined && namespace !== '';
    return inside ? `${root}/namespaces/${segment(namespace)}/${plural}` : `${root}/${plural}`;
  }

  #path(ref: Ref, subresource?: string): string {
    if (this.type.namespaced && (ref.namespace === undefined || ref.namespace === '')) {
      throw impossible(
        `a ${this.type.kind} is in a namespace, and none was given for ${JSON.stringify(ref.name)}`,
      );
    }
    const object = `${this.#collection(ref.namespace)}/${segment(ref.name)}`;
    return subresource === undefined ? object : `${object}/${segment(subresource)}`;
  }
}

export type StatusOf<T> = T extends CustomResource<unknown, infer Status> ? Status : object;

function call({ signal, timeoutMs, attempts, urgent }: CallOptions): CallOptions {
  return { signal, timeoutMs, attempts, urgent };
}

function select({ labelSelector, fieldSelector }: Selection): Query {
  return { labelSelector, fieldSelector };
}

/** A name is one segment of the path, whatever it contains. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/%]/.test(name)) {
    throw impossible(`${JSON.stringify(name)} cannot be the name of an object`);
  }
  return encodeURIComponent(name);
}

function impossible(message: string): BadRequestError {
  return new BadRequestError(message, { status: 0, request: 'not sent' });
}
