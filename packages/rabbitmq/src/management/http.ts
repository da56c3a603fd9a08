/**
 * Calls of RabbitMQ's HTTP API: one pool of kept-alive sockets, at most `maxParallel` calls at a time, one time limit
 * for a call with all its tries, errors by kind (ManagementError). Every call that Warren makes may be made twice
 * (declaring and deleting are idempotent on the broker), so each is tried again after a connection error, a 429, a 5xx or
 * an answer that is none of RabbitMQ's: what stands between may answer instead of it. Nothing is concluded from such an
 * answer, whatever its status. Who asks for a pause (Retry-After) gets it from every call.
 */
import { hash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Dispatcher } from 'undici';
import { createBackoff } from '../backoff.ts';
import { ClosedError, ManagementError, errorText, type ManagementCode } from '../errors.ts';
import { percentDecoded, withoutCredentials } from '../endpoint.ts';
import { Places } from '../places.ts';
import { retryAfterMs } from './retry-after.ts';
import { waitFor, type TokenBucket } from './token-bucket.ts';
import { distrustOf, type TlsOptions } from '../tls.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

export interface HttpOptions {
  /** `http(s)://user:password@host:port`, with a path when the API has a prefix. */
  url: string;
  timeoutMs: number;
  maxParallel: number;
  maxTries: number;
  /** Every try takes from it, reads too. */
  bucket?: TokenBucket | undefined;
  tls?: TlsOptions | undefined;
  /** Told of every request, tries counted one by one. */
  observer?: RequestObserver | undefined;
}

/** `status` is undefined where no answer came. */
export type RequestObserver = (request: { method: Method; status: number | undefined }) => void;

export interface CallOptions {
  body?: unknown;
  query?: Record<string, string | number>;
  /** RabbitMQ's own answers with these statuses are returned instead of thrown, and never tried again. */
  accept?: number[];
  /** The digest of an answer that the caller still has, or "": where the same comes again, it is not parsed. */
  known?: string;
  signal?: AbortSignal | undefined;
}

export interface Answer {
  status: number;
  /** Parsed JSON; undefined when the answer was empty, or is the known one. */
  body: unknown;
  /** Where `known` was given. */
  digest?: string;
}

/** A path of the API from its parts, which may hold any character; only "." and ".." the API can not name. */
export function path(...parts: string[]): string {
  if (parts.some((part) => part === '.' || part === '..')) {
    // even percent-encoded the broker resolves them, and the call would reach another object
    throw new ManagementError(
      'WARREN_BROKER_REFUSED',
      `/api/${parts.join('/')}`,
      'the name "." or ".." has no path',
    );
  }
  return `/api/${parts.map(encodeURIComponent).join('/')}`;
}

export class ManagementHttp {
  readonly #options: HttpOptions;
  readonly #pool: Pool;
  readonly #prefix: string;
  readonly #authorization: string;
  readonly #places: Places;
  readonly #ending = new AbortController();
  /** Nothing is sent before: milliseconds of performance.now(). */
  #quietUntil = 0;
  #closing: Promise<void> | undefined;

  constructor(options: HttpOptions) {
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      throw new ManagementError(
        'WARREN_BROKER_UNREACHABLE',
        'management URL',
        'it is not of the form http://user:password@host:port (or https://)',
      );
    }
    this.#options = options;
    this.#places = new Places(options.maxParallel);
    this.#prefix = url.pathname.replace(/\/+(api\/?)?$/, '');
    const credentials = `${percentDecoded(url.username) || 'guest'}:${percentDecoded(url.password) || 'guest'}`;
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
    this.#pool = new Pool(url.origin, {
      connections: options.maxParallel,
      keepAliveTimeout: 20_000,
      connect: { ...options.tls, timeout: Math.min(options.timeoutMs, 10_000) },
      headersTimeout: 0, // the call's own limit holds over everything
      bodyTimeout: 0,
    });
  }

  async call(method: Method, where: string, options: CallOptions = {}): Promise<Answer> {
    const name = `${method} ${where}`;
    if (this.#ending.signal.aborted) throw new ClosedError('the management client');
    const { signal, abort, release } = this.#signalOf(options.signal);
    let limit: NodeJS.Timeout | undefined;
    try {
      return await this.#places.take(async () => {
        await this.#mayBeSent(signal);
        // the limit begins with the call's turn: many calls at once are no sign of a broker that does not answer
        limit = setTimeout(
          () => abort(new DOMException('no answer', 'TimeoutError')),
          this.#options.timeoutMs,
        );
        return this.#tryAll(name, method, where, options, signal);
      }, signal);
    } finally {
      clearTimeout(limit);
      release();
    }
  }

  /** Of one call; AbortSignal.any and AbortSignal.timeout together cost as much as the call itself. */
  #signalOf(given: AbortSignal | undefined) {
    const controller = new AbortController();
    const sources = given === undefined ? [this.#ending.signal] : [this.#ending.signal, given];
    const pass = (): void => {
      controller.abort(sources.find(({ aborted }) => aborted)?.reason);
    };
    for (const source of sources) source.addEventListener('abort', pass, { once: true });
    if (given?.aborted === true) pass();
    return {
      signal: controller.signal,
      abort: (reason: Error) => controller.abort(reason),
      release: () => {
        for (const source of sources) source.removeEventListener('abort', pass);
      },
    };
  }

  /** Ends what is under way and closes the sockets; idempotent. */
  close(): Promise<void> {
    this.#ending.abort(new ClosedError('the management client'));
    this.#closing ??= this.#pool.destroy();
    return this.#closing;
  }

  async #tryAll(
    name: string,
    method: Method,
    where: string,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<Answer> {
    const backoff = createBackoff({ initialMs: 100, maxMs: 1_000 });
    for (let attempt = 1; ; attempt += 1) {
      let failure: ManagementError;
      try {
        const answer = await this.#once(name, method, where, options, signal);
        if (answer.status < 400 || options.accept?.includes(answer.status) === true) return answer;
        failure = errorOf(name, answer);
        if (failure.code !== 'WARREN_BROKER_FAILED') throw failure;
      } catch (error) {
        failure = error instanceof ManagementError ? error : this.#noAnswer(name, error, options.signal);
        const { code } = failure;
        if (code !== 'WARREN_BROKER_UNREACHABLE' && code !== 'WARREN_BROKER_BAD_ANSWER') throw failure;
      }
      if (attempt >= this.#options.maxTries || signal.aborted) throw failure;
      try {
        await delay(backoff.next(), undefined, { signal });
        await this.#mayBeSent(signal);
      } catch {
        throw failure;
      }
    }
  }

  async #once(
    name: string,
    method: Method,
    where: string,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<Answer> {
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#pool.request({
        method,
        path: this.#prefix + where,
        signal,
        headers: {
          authorization: this.#authorization,
          accept: 'application/json',
          ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(options.query === undefined ? {} : { query: options.query }),
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      });
    } catch (error) {
      this.#options.observer?.({ method, status: undefined });
      throw error;
    }
    const { statusCode: status } = answer;
    this.#options.observer?.({ method, status });
    if (status === 429 || status === 503) {
      const quietMs = retryAfterMs(answer.headers['retry-after']);
      this.#quietUntil = Math.max(this.#quietUntil, performance.now() + quietMs);
    }
    const text = await answer.body.text();
    const { known, accept } = options;
    if (known === undefined || status !== 200) return { status, body: parse(name, status, text, accept) };
    const digest = hash('sha256', text, 'base64');
    return { status, digest, body: digest === known ? undefined : parse(name, status, text, accept) };
  }

  /** Waits for the rate limit, and for the end of a pause that was asked for; rejects with the signal's reason. */
  async #mayBeSent(signal: AbortSignal): Promise<void> {
    await this.#options.bucket?.take(signal);
    for (;;) {
      const quietMs = this.#quietUntil - performance.now();
      if (quietMs <= 0) return;
      await waitFor(Math.ceil(quietMs), signal);
    }
  }

  /** No answer came: whose signal ended it, or what the socket said. */
  #noAnswer(name: string, cause: unknown, callers: AbortSignal | undefined): ManagementError {
    callers?.throwIfAborted();
    this.#ending.signal.throwIfAborted();
    const timedOut = (cause as { name?: unknown } | null)?.name === 'TimeoutError';
    const distrust = distrustOf(cause);
    if (distrust !== undefined) return new ManagementError('WARREN_BROKER_UNTRUSTED', name, distrust);
    const reason = timedOut
      ? `no answer within ${this.#options.timeoutMs} ms`
      : withoutCredentials(errorText(cause)) + hintOf(cause, this.#options.url);
    return new ManagementError('WARREN_BROKER_UNREACHABLE', name, reason);
  }
}

/** A server that does not accept the client's certificate hangs up: with TLS 1.3 that is after the request was sent. */
function hintOf(cause: unknown, url: string): string {
  const hungUp = (cause as { code?: unknown } | null)?.code === 'UND_ERR_SOCKET' && url.startsWith('https:');
  return hungUp ? ' (it may not accept the client certificate, tls.crt, or ask for one)' : '';
}

/** What the answer says. Throws where somebody else than RabbitMQ has answered what would be taken for its word. */
function parse(name: string, status: number, text: string, accept: readonly number[] = []): unknown {
  const body = parsed(text);
  const isWord = typeof body === 'object' && body !== null;
  // What it does not have, or does not do, RabbitMQ says in an object; of what is done it often says nothing.
  const isIts = status < 300 ? isWord || text === '' : status >= 400 && isWord;
  if (!isIts && (status < 400 || status === 404 || accept.includes(status))) {
    const reason = `status ${status} ${text === '' ? 'without a word' : 'and no JSON'}: is this a management API?`;
    throw new ManagementError('WARREN_BROKER_BAD_ANSWER', name, reason, { status });
  }
  if (text === '') return undefined;
  return isWord ? body : { reason: text.slice(0, 200) }; // a proxy's page
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const codeOfStatus: Partial<Record<number, ManagementCode>> = {
  401: 'WARREN_BROKER_UNAUTHORIZED',
  403: 'WARREN_BROKER_FORBIDDEN',
  404: 'WARREN_BROKER_NOT_FOUND',
  409: 'WARREN_BROKER_CONFLICT',
};

function errorOf(name: string, { status, body }: Answer): ManagementError {
  const { error, reason } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const said = [reason, error].find((each) => typeof each === 'string') ?? `status ${status}`;
  let code: ManagementCode =
    codeOfStatus[status] ??
    (status >= 500 || status === 429 ? 'WARREN_BROKER_FAILED' : 'WARREN_BROKER_REFUSED');
  // RabbitMQ answers 401 too where it knows the user and the password is right.
  if (status === 401 && said.startsWith('User not authorised')) code = 'WARREN_BROKER_FORBIDDEN';
  if (status === 400 && /inequivalent arg|PRECONDITION_FAILED/i.test(said)) code = 'WARREN_BROKER_CONFLICT';
  return new ManagementError(code, name, withoutCredentials(said) + tagMissing(name, status, said), {
    status,
  });
}

/** What to do where it is one of RabbitMQ's tags that is missing, which its answer does not say. */
function tagMissing(name: string, status: number, said: string): string {
  const isMissing =
    said.startsWith('Not management user') ||
    (said.startsWith('User not authorised') && / \/api\/policies\//.test(name));
  return status === 401 && isMissing ? ': give the user the tag policymaker' : '';
}
