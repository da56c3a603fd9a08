/**
 * One request to the API server: authenticated, limited in time, retried where that is safe, with typed errors.
 *
 * Retried, at most `attempts` times and within `withinMs` altogether:
 * - always, because the server did nothing: 429, 503 with Retry-After, no connection at all; 401 once, with credentials
 *   looked up again
 * - only what may be repeated (`repeatable`): every other 5xx, a connection that broke, an answer that did not come in time
 * No retry comes before a Retry-After, and at most a tenth after it, so that those who were sent away do not return in
 * step; when it leads beyond `withinMs` the error is thrown at once and carries it. Without one the wait is 100 ms,
 * doubled each time up to 5 s, with a jitter of a half.
 */
import { request as send } from 'undici';
import type { Dispatcher } from 'undici';
import { linkSignals, sleep, systemClock, unlessAborted } from './clock.ts';
import type { Clock } from './clock.ts';
import type { Access, ApiConnection } from './connection.ts';
import {
  ConnectionError,
  errorOfStatus,
  KubernetesError,
  MalformedResponseError,
  RequestTimeoutError,
  ServerError,
  TooManyRequestsError,
  UnauthorizedError,
} from './errors.ts';
import type { StatusObject } from './errors.ts';
import type { RequestObserver } from './metrics.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Query = Record<string, string | number | boolean | undefined>;

export interface ApiRequest {
  method: Method;
  /** Absolute and encoded, without query. */
  path: string;
  query?: Query;
  body?: unknown;
  /** Default `application/json`. */
  contentType?: string;
  /** Is doing it twice the same as doing it once? Default: everything but POST. */
  repeatable?: boolean;
  signal?: AbortSignal | undefined;
  /** For each attempt. */
  timeoutMs?: number | undefined;
  /** Attempts altogether. */
  attempts?: number | undefined;
  /** Waits for no socket that other requests use. */
  urgent?: boolean | undefined;
}

export interface HttpOptions {
  userAgent: string;
  /** For each attempt; default 15,000. */
  timeoutMs?: number | undefined;
  /** Attempts altogether; default 5. */
  attempts?: number | undefined;
  /** How long the waits between attempts may take altogether; default 30,000. */
  withinMs?: number | undefined;
  observer?: RequestObserver | undefined;
  clock?: Clock | undefined;
}

/** The connection never came to be, so the server cannot have done anything. */
const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export class Http {
  readonly #connection: ApiConnection;
  readonly #options: HttpOptions;
  readonly #clock: Clock;

  constructor(connection: ApiConnection, options: HttpOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** The parsed JSON of the answer. Throws KubernetesError, or the signal's reason. */
  async json(request: ApiRequest): Promise<unknown> {
    const attempts = request.attempts ?? this.#options.attempts ?? 5;
    const until = this.#clock.now() + (this.#options.withinMs ?? 30_000);
    let refused = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(request);
      } catch (error) {
        if (request.signal?.aborted === true) throw request.signal.reason;
        if (!(error instanceof KubernetesError)) throw error;
        if (error instanceof UnauthorizedError && !refused) {
          refused = true;
          continue;
        }
        const wait =
          error.retryAfterMs === undefined
            ? Math.min(100 * 2 ** (attempt - 1), 5000) * (0.5 + Math.random() / 2)
            : error.retryAfterMs * (1 + Math.random() / 10);
        const over = attempt >= attempts || this.#clock.now() + wait > until;
        if (over || !retryable(error, request.repeatable ?? request.method !== 'POST')) throw error;
        this.#options.observer?.retried({
          method: request.method,
          host: this.#connection.host,
          code: codeOf(error),
        });
        await sleep(this.#clock, wait, request.signal);
      }
    }
  }

  /** The answer's body as it comes, on a socket of its own; not retried. */
  async stream(request: ApiRequest): Promise<AsyncIterable<Buffer>> {
    const { response } = await this.#send(request, 'unlimited', request.signal);
    if (response.statusCode === 200) return response.body;
    throw await failure(request, response);
  }

  async #once(request: ApiRequest): Promise<unknown> {
    const timeoutMs = request.timeoutMs ?? this.#options.timeoutMs ?? 15_000;
    const { controller, signal, release } = linkSignals(request.signal);
    let tooLate: RequestTimeoutError | undefined;
    const cancel = this.#clock.after(timeoutMs, () => {
      tooLate = new RequestTimeoutError(`${nameOf(request)}: no answer within ${timeoutMs} ms`, {
        status: 0,
        request: nameOf(request),
      });
      controller.abort(tooLate);
    });
    try {
      const { response } = await this.#send(
        request,
        request.urgent === true ? 'unlimited' : 'requests',
        signal,
      );
      if (response.statusCode < 200 || response.statusCode > 299) throw await failure(request, response);
      const text = await response.body.text();
      if (text === '') return undefined;
      try {
        return JSON.parse(text) as unknown;
      } catch {
        const isText = String(response.headers['content-type']).startsWith('text/plain');
        if (isText) return text;
        throw new MalformedResponseError(`${nameOf(request)}: the answer is not JSON`, {
          status: response.statusCode,
          request: nameOf(request),
        });
      }
    } catch (error) {
      if (tooLate !== undefined && controller.signal.reason === tooLate) throw tooLate;
      throw error instanceof KubernetesError ? error : broken(request, error);
    } finally {
      cancel();
      release();
    }
  }

  async #send(request: ApiRequest, via: 'requests' | 'unlimited', signal: AbortSignal | undefined) {
    const access = await unlessAborted(this.#connection.access(), signal);
    const begun = this.#clock.now();
    const report = (code: string) =>
      this.#options.observer?.finished({
        method: request.method,
        host: this.#connection.host,
        code,
        seconds: (this.#clock.now() - begun) / 1000,
      });
    try {
      const response = await send(urlOf(access, request), {
        dispatcher: access[via],
        method: request.method,
        headers: {
          ...access.headers,
          accept: 'application/json',
          'user-agent': this.#options.userAgent,
          ...(request.body === undefined
            ? {}
            : { 'content-type': request.contentType ?? 'application/json' }),
        },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal: signal ?? null,
      });
      report(String(response.statusCode));
      if (response.statusCode === 401) this.#connection.forget(access);
      return { response };
    } catch (error) {
      report('<error>');
      if (signal?.aborted === true) throw signal.reason;
      throw broken(request, error);
    }
  }
}

/** `GET /api/v1/namespaces/x/secrets/y` */
export function nameOf(request: Pick<ApiRequest, 'method' | 'path'>): string {
  return `${request.method} ${request.path}`;
}

/** The error for a connection that failed or broke off. */
export function broken(request: Pick<ApiRequest, 'method' | 'path'>, error: unknown): ConnectionError {
  const code = (error as { code?: unknown } | null)?.code;
  const why = typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown';
  return new ConnectionError(`${nameOf(request)}: the connection failed (${why})`, {
    status: 0,
    reason: why,
    request: nameOf(request),
  });
}

function urlOf(access: Access, { path, query = {} }: ApiRequest): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const encoded = search.toString();
  return `${access.origin}${access.basePath}${path}${encoded === '' ? '' : `?${encoded}`}`;
}

async function failure(request: ApiRequest, response: Dispatcher.ResponseData): Promise<KubernetesError> {
  const text = await response.body.text().catch(() => '');
  let body: StatusObject | undefined;
  try {
    body = JSON.parse(text) as StatusObject;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const failed = {
    status: response.statusCode,
    request: nameOf(request),
    retryAfterMs: parseRetryAfter(response.headers['retry-after']),
  };
  return errorOfStatus(failed, body);
}

/** Seconds or an HTTP date, as milliseconds from now. */
function parseRetryAfter(header: string | string[] | undefined): number | undefined {
  const value = Array.isArray(header) ? header[0] : header;
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

function retryable(error: KubernetesError, repeatable: boolean): boolean {
  if (error instanceof TooManyRequestsError) return true;
  if (error instanceof ServerError)
    return repeatable || (error.status === 503 && error.retryAfterMs !== undefined);
  if (error instanceof ConnectionError) return repeatable || NEVER_CONNECTED.has(error.reason ?? '');
  return error instanceof RequestTimeoutError && repeatable;
}

function codeOf(error: KubernetesError): string {
  return error.status === 0 ? '<error>' : String(error.status);
}
