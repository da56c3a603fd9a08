/**
 * One watch: the events of a resource since a resource version, as an async iterable.
 *
 * It ends when the server ends it (after `timeoutSeconds`). It throws GoneError when the version is too old (as status or
 * as ERROR event), RequestTimeoutError when nothing, not even a bookmark, came for `inactivityMs`, ConnectionError when
 * the socket breaks, other KubernetesErrors as the server says, and the signal's reason when it aborts. However it
 * ends, its socket is closed.
 */
import { linkSignals, systemClock } from './clock.ts';
import type { Clock } from './clock.ts';
import {
  ConnectionError,
  errorOfStatus,
  KubernetesError,
  MalformedResponseError,
  RequestTimeoutError,
} from './errors.ts';
import type { StatusObject } from './errors.ts';
import { broken, nameOf } from './http.ts';
import type { Http, Query } from './http.ts';
import type { KubernetesObject } from './object.ts';

export type WatchEvent<T> =
  { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T } | { type: 'BOOKMARK'; resourceVersion: string };

export interface WatchStreamOptions {
  path: string;
  query: Query;
  /** Milliseconds; default 90,000: bookmarks come about once a minute. */
  inactivityMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called once the server has accepted the watch. */
  onOpen?: (() => void) | undefined;
  clock?: Clock | undefined;
}

interface RawEvent {
  type: string;
  object: KubernetesObject & StatusObject;
}

export async function* watchStream<T extends KubernetesObject>(
  http: Http,
  { path, query, inactivityMs = 90_000, signal, onOpen, clock = systemClock }: WatchStreamOptions,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const request = { method: 'GET', path, query: { ...query, watch: true } } as const;
  const name = nameOf({ method: 'GET', path: `${path}?watch` });
  const link = linkSignals(signal);
  const silent = new RequestTimeoutError(`${name}: nothing heard for ${inactivityMs} ms`, {
    status: 0,
    request: name,
  });
  let heardAt = clock.now();
  let cancel: () => void = () => undefined;
  const guard = (ms: number) => {
    cancel = clock.after(ms, () => {
      const left = heardAt + inactivityMs - clock.now();
      if (left <= 0) link.controller.abort(silent);
      else guard(left);
    });
  };
  guard(inactivityMs);
  try {
    const body = await http.stream({ ...request, signal: link.signal });
    onOpen?.();
    let partial: Buffer[] = [];
    for await (const chunk of body) {
      heardAt = clock.now();
      let from = 0;
      for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
        partial.push(chunk.subarray(from, to));
        from = to + 1;
        const line = partial.length === 1 ? partial[0] : Buffer.concat(partial);
        partial = [];
        if (line !== undefined && line.length > 0) yield parse<T>(line, name);
      }
      if (from < chunk.length) partial.push(chunk.subarray(from));
    }
    if (partial.length > 0) {
      throw new ConnectionError(`${name}: ended in the middle of an event`, { status: 0, request: name });
    }
  } catch (error) {
    if (link.signal.aborted) throw link.signal.reason;
    throw error instanceof KubernetesError ? error : broken({ method: 'GET', path: `${path}?watch` }, error);
  } finally {
    cancel();
    link.controller.abort();
    link.release();
  }
}

function parse<T extends KubernetesObject>(line: Buffer, name: string): WatchEvent<T> {
  let event: RawEvent;
  try {
    event = JSON.parse(line.toString('utf8')) as RawEvent;
  } catch {
    throw new MalformedResponseError(`${name}: an event is not JSON`, { status: 200, request: name });
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: event.object as unknown as T };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: event.object.metadata.resourceVersion ?? '' };
    case 'ERROR':
      throw errorOfStatus({ status: event.object.code ?? 500, request: name }, event.object);
    default:
      throw new MalformedResponseError(`${name}: unknown event type`, { status: 200, request: name });
  }
}
