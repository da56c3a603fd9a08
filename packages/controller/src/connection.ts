/**
 * How to reach the API server: credentials from the kubeconfig, sockets from two shared pools.
 *
 * kubeconfig.ts tells whose the authentication is. The sockets are ours: @kubernetes/client-node makes a new undici Agent
 * for every request. Here is one pool for requests, which wait for one of its sockets, and one without a limit for what
 * must take none of those, or wait for none: watches, which hold theirs for minutes, and the renewal of a lease. Both are
 * replaced when a certificate changes. A token travels in the headers, so its rotation replaces nothing.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { Agent, ProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';
import { linkSignals, systemClock, unlessAborted } from './clock.ts';
import type { Clock } from './clock.ts';
import { CredentialsError } from './errors.ts';
import { clientNodeCredentials, defaultCredentials, forgetPlugins } from './kubeconfig.ts';
import type { Credentials } from './kubeconfig.ts';

/** What one request needs to be sent. */
export interface Access {
  origin: string;
  /** Of a server that is not at the root of its host: `/k8s/clusters/c-1`; else `''`. */
  basePath: string;
  headers: Record<string, string>;
  requests: Dispatcher;
  unlimited: Dispatcher;
  /** A hash of the CA that signs the API server's certificate; undefined where it is one of the public ones. */
  authority: string | undefined;
  /** How often the credentials had been refused before these were looked up. */
  refusals: number;
}

/** Credentials are looked up at most so often, so that a burst of requests does not read the same files each time. */
const FRESH_MS = 1000;
/** All requests wait for the same lookup: one that hangs (an exec plugin may) must give way to another. */
const LOOKUP_MS = 60_000;
/** Sockets to the API server that requests may use at the same time; more requests wait. */
const CONNECTIONS = 32;

interface Pools {
  fingerprint: string;
  requests: Dispatcher;
  unlimited: Dispatcher;
}

export class ApiConnection {
  #config: Credentials | undefined;
  readonly #clock: Clock;
  #pools: Pools | undefined;
  readonly #retired = new Set<Dispatcher>();
  #fresh: { until: number; access: Promise<Access> } | undefined;
  #refusals = 0;
  readonly #closing = new AbortController();
  /** Of the API server, with its port; empty until the first lookup. */
  host = '';

  /** @param config default: what kubectl would take */
  constructor(config: Credentials | undefined, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#config = config ?? defaultCredentials();
  }

  /** Throws CredentialsError, after a minute at the latest. */
  access(): Promise<Access> {
    if (this.#fresh === undefined || this.#fresh.until <= this.#clock.now()) {
      const fresh = { until: Infinity, access: this.#lookInTime() };
      this.#fresh = fresh;
      fresh.access.then(
        () => (fresh.until = this.#clock.now() + FRESH_MS),
        () => {
          if (this.#fresh === fresh) this.#fresh = undefined;
        },
      );
    }
    return this.#fresh.access;
  }

  /** The server did not accept these: the next request looks them up again, once for all whose credentials were the same. */
  forget(refused: Access): void {
    if (refused.refusals !== this.#refusals) return;
    this.#refusals += 1;
    this.#fresh = undefined;
    if (this.#config !== undefined) forgetPlugins(this.#config);
  }

  /** Ends every request and watch that is still open. */
  async close(): Promise<void> {
    this.#closing.abort(failed('the cluster client is closed'));
    this.#fresh = undefined;
    const all = [...this.#retired];
    if (this.#pools !== undefined) all.push(this.#pools.requests, this.#pools.unlimited);
    this.#pools = undefined;
    this.#retired.clear();
    await Promise.all(all.map((dispatcher) => dispatcher.destroy()));
  }

  async #lookInTime(): Promise<Access> {
    const { controller, signal, release } = linkSignals(this.#closing.signal);
    const cancel = this.#clock.after(LOOKUP_MS, () => {
      controller.abort(failed(`no answer within ${LOOKUP_MS / 1000} s`));
    });
    try {
      return await unlessAborted(this.#look(), signal);
    } finally {
      cancel();
      release();
    }
  }

  async #look(): Promise<Access> {
    this.#closing.signal.throwIfAborted();
    const refusals = this.#refusals;
    const options: RequestOptions = {};
    const headers: Record<string, string> = {};
    try {
      const config = (this.#config ??= await clientNodeCredentials());
      const cluster = config.getCurrentCluster();
      if (cluster === null) throw failed('the kubeconfig has no current cluster');
      const server = new URL(cluster.server);
      this.host = server.host;
      await config.applyToHTTPSOptions(options);
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value).trim();
      if (typeof options.auth === 'string') {
        headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
      }
      const token = await tokenFromFile(config);
      if (token !== undefined) headers['Authorization'] = `Bearer ${token}`;
      this.#closing.signal.throwIfAborted();
      const { requests, unlimited } = this.#poolsFor(cluster.proxyUrl, options);
      return {
        origin: server.origin,
        basePath: server.pathname.replace(/\/+$/, ''),
        headers,
        requests,
        unlimited,
        authority: options.ca === undefined ? undefined : hashOf(options.ca),
        refusals,
      };
    } catch (error) {
      if (error instanceof CredentialsError) throw error;
      // An exec plugin's error is whatever it printed: only what kind of error it was may be repeated.
      const code = (error as { code?: unknown }).code;
      throw failed(typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown error');
    }
  }

  #poolsFor(proxyUrl: string | undefined, options: RequestOptions): Pools {
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const tls = Object.fromEntries(
      Object.entries({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    const hash = createHash('sha256').update(proxyUrl ?? '');
    for (const [name, value] of Object.entries(tls)) {
      hash.update(`\0${name}\0`).update(Buffer.isBuffer(value) ? value : JSON.stringify(value));
    }
    const fingerprint = hash.digest('hex');
    if (this.#pools?.fingerprint === fingerprint) return this.#pools;
    this.#retire(this.#pools?.requests);
    this.#retire(this.#pools?.unlimited);
    this.#pools = {
      fingerprint,
      requests: pool(proxyUrl, tls, CONNECTIONS),
      unlimited: pool(proxyUrl, tls, undefined),
    };
    return this.#pools;
  }

  /** Requests under way with the old certificate may end; `close` ends them at the latest. */
  #retire(dispatcher: Dispatcher | undefined): void {
    if (dispatcher === undefined) return;
    this.#retired.add(dispatcher);
    dispatcher.close().then(
      () => this.#retired.delete(dispatcher),
      () => this.#retired.delete(dispatcher),
    );
  }
}

function failed(why: string): CredentialsError {
  return new CredentialsError(`the credentials for the API server could not be obtained: ${why}`, {
    status: 0,
    request: 'credentials',
  });
}

function hashOf(ca: NonNullable<RequestOptions['ca']>): string {
  const hash = createHash('sha256');
  for (const one of [ca].flat()) hash.update(String(one).trim());
  return hash.digest('hex').slice(0, 16);
}

/** client-node remembers a token for a minute; a rotated one must be seen when the old one is refused. */
async function tokenFromFile(credentials: Credentials): Promise<string | undefined> {
  const provider = credentials.getCurrentUser()?.authProvider as
    { config?: { tokenFile?: string } } | undefined;
  const file = provider?.config?.tokenFile;
  return file === undefined ? undefined : (await readFile(file, 'utf8')).trim();
}

function pool(proxyUrl: string | undefined, tls: object, connections: number | undefined): Dispatcher {
  const options = {
    // One socket a watch: HTTP/2 would put all of them, and their fate, on one.
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: 60_000,
    // Time limits are set by the request (http.ts) and the watchdog (watch-stream.ts).
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(connections === undefined ? {} : { connections }),
  };
  const connect = { ...tls, timeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 };
  if (proxyUrl !== undefined && proxyUrl !== '') {
    return new ProxyAgent({ ...options, uri: proxyUrl, requestTls: connect });
  }
  return new Agent({ ...options, connect });
}
