/**
 * A small API server over real HTTP, for what a real one cannot be made to do on demand: answer 429, lose a watch's
 * place, cut a socket, fall silent, change the token it accepts.
 *
 * It stores objects by path and knows create, replace (409 on another resource version), merge patch and apply (both as a
 * deep merge), delete (finalizers hold it up), paged lists and watches. It validates nothing. Semantics are proven against
 * the real one.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import type { KubernetesObject } from '../object.ts';

export interface SeenRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: unknown;
}

/** What a fault does instead of the answer; undefined lets the request pass. */
export type Fault = (
  request: SeenRequest,
) => { status: number; headers?: Record<string, string>; body?: unknown } | 'cut' | 'hang' | undefined;

export interface Watch {
  collection: string;
  response: ServerResponse;
}

type Stored = KubernetesObject & Record<string, unknown>;

export class FakeApiServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** Asked first, in order, for every request. */
  readonly faults: Fault[] = [];
  readonly watches = new Set<Watch>();
  /** Where set, only this token is let in. */
  token: string | undefined;
  /** Sockets ever accepted. */
  connections = 0;
  readonly #server: Server;
  readonly #objects = new Map<string, Stored>();
  readonly #history: { version: number; type: string; path: string; object: Stored }[] = [];
  #listed: { path: string; version: number; all: Stored[] } | undefined;
  #version = 100;
  #oldest = 0;
  #uids = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FakeApiServer> {
    const server = createServer();
    const fake = new FakeApiServer(server);
    server.on('connection', () => (fake.connections += 1));
    server.on('request', (request, response) => void fake.#handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  kubeConfig(user: Record<string, unknown> = {}): KubeConfig {
    const config = new KubeConfig();
    const { port } = this.#server.address() as AddressInfo;
    config.loadFromOptions({
      clusters: [{ name: 'fake', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
      users: [{ name: 'tester', ...user }],
      contexts: [{ name: 'fake', cluster: 'fake', user: 'tester' }],
      currentContext: 'fake',
    });
    return config;
  }

  /** Fails the next `times` requests that `matches` accepts. */
  failNext(
    times: number,
    answer: ReturnType<Fault>,
    matches: (request: SeenRequest) => boolean = () => true,
  ): void {
    let left = times;
    this.faults.push((request) => {
      if (left === 0 || !matches(request)) return undefined;
      left -= 1;
      return answer;
    });
  }

  count(method: string, matches: (request: SeenRequest) => boolean = () => true): number {
    return this.requests.filter((request) => request.method === method && matches(request)).length;
  }

  get(path: string): Stored | undefined {
    return this.#objects.get(path);
  }

  /** Stores an object under its path, as if somebody had, and tells the watches. */
  put(path: string, object: Record<string, unknown> & { metadata?: object } = {}): Stored {
    const before = this.#objects.get(path);
    const [, namespace] = /\/namespaces\/([^/]+)\//.exec(path) ?? [];
    this.#version += 1;
    const stored = structuredClone({
      ...object,
      metadata: {
        uid: before?.metadata.uid ?? `uid-${(this.#uids += 1)}`,
        ...object.metadata,
        name: path.slice(path.lastIndexOf('/') + 1),
        ...(namespace === undefined ? {} : { namespace }),
        resourceVersion: String(this.#version),
      },
    }) as Stored;
    const done =
      stored.metadata.deletionTimestamp !== undefined && (stored.metadata.finalizers ?? []).length === 0;
    if (done) this.#objects.delete(path);
    else this.#objects.set(path, stored);
    this.#tell(done ? 'DELETED' : before === undefined ? 'ADDED' : 'MODIFIED', path, stored);
    return stored;
  }

  remove(path: string): void {
    const before = this.#objects.get(path);
    if (before === undefined) return;
    this.#objects.delete(path);
    this.#version += 1;
    this.#tell('DELETED', path, {
      ...before,
      metadata: { ...before.metadata, resourceVersion: String(this.#version) },
    });
  }

  /** Forgets the history: a watch from an older version gets 410. */
  compact(): void {
    this.#oldest = this.#version;
    this.#history.length = 0;
  }

  bookmark(): void {
    this.#version += 1;
    this.sendToWatches({
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: String(this.#version) } },
    });
  }

  sendToWatches(event: object): void {
    for (const { response } of this.watches) response.write(`${JSON.stringify(event)}\n`);
  }

  cutWatches(): void {
    for (const { response } of this.watches) response.socket?.destroy();
  }

  endWatches(): void {
    for (const { response } of this.watches) response.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #tell(type: string, path: string, object: Stored): void {
    this.#history.push({ version: this.#version, type, path, object });
    for (const { collection, response } of this.watches) {
      if (inCollection(path, collection)) response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.requests.push(seen);
    for (const fault of this.faults) {
      const answer = fault(seen);
      if (answer === undefined) continue;
      if (answer === 'cut') request.socket.destroy();
      else if (answer !== 'hang')
        reply(response, answer.status, answer.body ?? status(answer.status, 'Fault'), answer.headers);
      return;
    }
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      reply(response, 401, status(401, 'Unauthorized'));
    } else if (url.searchParams.get('watch') === 'true') {
      this.#watch(seen, response);
    } else {
      this.#serve(seen, response);
    }
  }

  #watch({ path, query }: SeenRequest, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'));
    if (from < this.#oldest) {
      reply(response, 410, status(410, 'Expired'));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { version, type, path: of, object } of this.#history) {
      if (version > from && inCollection(of, path)) response.write(`${JSON.stringify({ type, object })}\n`);
    }
    const watch = { collection: path, response };
    this.watches.add(watch);
    response.on('close', () => this.watches.delete(watch));
  }

  #serve({ method, path: fullPath, query, body }: SeenRequest, response: ServerResponse): void {
    const path = fullPath.replace(/\/status$/, '');
    const object = this.#objects.get(path);
    const given = (body ?? {}) as Stored;
    if (method === 'POST') {
      const at = `${path}/${given.metadata.name}`;
      if (this.#objects.has(at)) reply(response, 409, status(409, 'AlreadyExists'));
      else reply(response, 201, this.put(at, given));
    } else if (method === 'GET' && object === undefined && isCollection(path)) {
      this.#list(path, query, response);
    } else if (method === 'PATCH' && object === undefined && query.get('force') !== null) {
      reply(response, 201, this.put(path, given));
    } else if (object === undefined) {
      reply(response, 404, status(404, 'NotFound'));
    } else if (method === 'GET') {
      reply(response, 200, object);
    } else if (method === 'DELETE') {
      const held = (object.metadata.finalizers ?? []).length > 0;
      if (held)
        this.put(path, {
          ...object,
          metadata: { ...object.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
        });
      else this.remove(path);
      reply(response, 200, status(200, 'Success'));
    } else {
      const { resourceVersion, uid } = given.metadata;
      const other = resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion;
      if (other || (uid !== undefined && uid !== object.metadata.uid))
        reply(response, 409, status(409, 'Conflict'));
      else reply(response, 200, this.put(path, method === 'PUT' ? given : (merge(object, given) as Stored)));
    }
  }

  /** Remembered until something changes: the pages of a large list are cut from one. */
  #collection(path: string): Stored[] {
    if (this.#listed?.path !== path || this.#listed.version !== this.#version) {
      const all = [...this.#objects].filter(([key]) => inCollection(key, path)).map(([, object]) => object);
      this.#listed = { path, version: this.#version, all };
    }
    return this.#listed.all;
  }

  #list(path: string, query: URLSearchParams, response: ServerResponse): void {
    const all = this.#collection(path);
    const [version, from] = (query.get('continue') ?? `${this.#version}:0`).split(':').map(Number) as [
      number,
      number,
    ];
    if (version < this.#oldest) {
      reply(response, 410, status(410, 'Expired'));
      return;
    }
    const limit = Number(query.get('limit') ?? all.length);
    const more = from + limit < all.length;
    reply(response, 200, {
      kind: 'List',
      metadata: {
        resourceVersion: String(version),
        ...(more ? { continue: `${version}:${from + limit}` } : {}),
      },
      items: all.slice(from, from + limit),
    });
  }
}

function reply(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function status(code: number, reason: string): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    status: code < 300 ? 'Success' : 'Failure',
    code,
    reason,
    message: `${reason} (fake)`,
  };
}

/** /api/v1/widgets, /apis/g/v1/widgets, and the same with /namespaces/n/ in it. */
function isCollection(path: string): boolean {
  return /^\/(api|apis\/[^/]+)\/[^/]+\/(namespaces\/[^/]+\/)?[^/]+$/.test(path);
}

function inCollection(path: string, collection: string): boolean {
  const parent = path.slice(0, path.lastIndexOf('/'));
  return parent === collection || parent.replace(/\/namespaces\/[^/]+\//, '/') === collection;
}

function merge(into: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = { ...(into as object) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(merged, name);
    else merged[name] = merge(merged[name], value);
  }
  return merged;
}
