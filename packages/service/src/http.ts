/**
 * The HTTP side of a service: an express 5 app made from its routes.
 *
 * Every request has an id (`X-Request-Id`), a correlation (`X-Correlation-Id`, taken over when the client sends one),
 * a span and a place in the histogram. Every error is a problem (problem.ts).
 */
import { randomUUID } from 'node:crypto';
import { context as otelContext, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, Span } from '@opentelemetry/api';
import express from 'express';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';
import { withContext } from './context.ts';
import type { WorkContext } from './context.ts';
import { fingerprintOf, problemResponse, readKey } from './idempotency.ts';
import type { Idempotency } from './idempotency.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { docsPage, openApi } from './openapi.ts';
import { Problem, problemOf } from './problem.ts';
import type { RequestIds, Route, RouteResponse } from './route.ts';
import { withTimeLimit } from './time-limit.ts';
import { headersOf, parentContext } from './trace-context.ts';

/** What the app needs. */
export interface HttpOptions {
  readonly name: string;
  readonly version: string;
  readonly routes: readonly Route[];
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly idempotency: Pick<Idempotency, 'run'>;
  /** Until it says true, the routes answer 503. */
  readonly isReady: () => boolean;
  /** For the work of a route; one that takes longer is answered 503. */
  readonly timeLimitMs: number;
  /** In bytes; a larger body gets 413. */
  readonly bodyLimit?: number;
}

/** What belongs to one request. */
interface RequestState {
  readonly id: string;
  readonly work: WorkContext;
  readonly trace: Context;
  readonly span: Span;
  route: string;
}

const states = new WeakMap<Response, RequestState>();

/** The app; it listens nowhere yet. */
export function createHttpApp(options: HttpOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(begin(options));

  const json = express.json({ type: jsonTypes, limit: options.bodyLimit ?? 102_400, strict: false });
  const paths = new Map<string, Set<string>>();
  const allow = (path: string, method: string) => {
    const methods = paths.get(path) ?? new Set();
    methods.add(method.toUpperCase());
    if (method === 'get') methods.add('HEAD');
    paths.set(path, methods);
  };

  for (const route of options.routes) {
    allow(route.path, route.method);
    const readers = route.body === undefined ? [] : [requireJson, json];
    app[route.method](route.path, ...readers, handler(options, route));
  }

  const document = openApi(options.name, options.version, options.routes);
  const page = docsPage(document);
  app.get('/openapi.json', (_request, response) => {
    response.json(document);
  });
  app.get('/docs', (_request, response) => {
    response
      .set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
      .type('html')
      .send(page);
  });
  app.get('/metrics', async (_request, response) => {
    const { contentType, body } = await options.metrics.page();
    response.set('Content-Type', contentType).send(body);
  });
  for (const path of ['/openapi.json', '/docs', '/metrics']) allow(path, 'get');

  for (const [path, methods] of paths) app.all(path, otherMethod([...methods]));
  app.use((request) => {
    throw new Problem(404, 'no-such-route', `There is nothing at ${request.path}. See /docs.`);
  });
  app.use(fail(options.log));
  return app;
}

/** Gives a request its state and watches its end. */
function begin({ metrics, log }: HttpOptions): RequestHandler {
  return (request, response, next) => {
    const began = performance.now();
    const id = randomUUID();
    const parent = parentContext({
      traceparent: request.get('traceparent'),
      tracestate: request.get('tracestate'),
    });
    const span = trace.getTracer('@warren/service').startSpan(
      request.method,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'http.request.method': request.method,
          'url.path': request.path,
          'url.scheme': request.protocol,
        },
      },
      parent,
    );
    const correlationId = readCorrelation(request) ?? id;
    const state: RequestState = {
      id,
      span,
      work: { correlationId, ...headersOf(trace.getSpanContext(parent)) },
      trace: trace.setSpan(parent, span),
      route: 'unmatched',
    };
    states.set(response, state);
    response.set({ 'X-Request-Id': id, 'X-Correlation-Id': correlationId });
    response.once('close', () => {
      const status = response.writableFinished ? response.statusCode : 499;
      metrics.request(
        { method: request.method, route: state.route, status },
        (performance.now() - began) / 1000,
      );
      span.updateName(state.route === 'unmatched' ? request.method : `${request.method} ${state.route}`);
      span.setAttribute('http.response.status_code', status);
      if (state.route !== 'unmatched') span.setAttribute('http.route', state.route);
      if (status >= 500) {
        span.setAttribute('error.type', String(status));
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
      const ms = Math.round(performance.now() - began);
      log.debug(
        { requestId: id, correlationId, method: request.method, path: request.path, status, ms },
        'request',
      );
    });
    next();
  };
}

function readCorrelation(request: Request): string | undefined {
  const header = request.get('X-Correlation-Id');
  return header !== undefined && /^[\w.:-]{1,128}$/.test(header) ? header : undefined;
}

const jsonTypes = ['application/json', 'application/*+json'];

const requireJson: RequestHandler = (request, _response, next) => {
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  if (hasBody && request.is(jsonTypes) === false) {
    throw new Problem(
      415,
      'unsupported-media-type',
      'The body must be JSON: send Content-Type: application/json.',
    );
  }
  next();
};

/** Runs a route within the context and the span of its request. */
function handler(options: HttpOptions, route: Route): RequestHandler {
  const operation = `${route.method.toUpperCase()} ${route.path}`;
  return async (request, response) => {
    const state = stateOf(response);
    state.route = route.path;
    if (!options.isReady()) {
      throw new Problem(503, 'starting', 'The service is starting. Try again soon.', {
        headers: { 'Retry-After': '2' },
      });
    }
    const body: unknown = request.body;
    const accepted = route.accept({
      params: request.params,
      query: { ...request.query },
      body: body ?? null,
    });
    const key = route.method === 'post' ? readKey(request.get('Idempotency-Key')) : undefined;
    const run = (ids: RequestIds) =>
      withContext({ ...state.work, causationId: ids.commandId }, () => accepted.run(ids));
    const work = () => {
      if (key === undefined) return run({ newId: randomUUID, commandId: state.id });
      const fingerprint = fingerprintOf(operation, accepted.params, accepted.body);
      return options.idempotency.run({ key, operation, fingerprint }, run);
    };
    // The limit is outside of the key, which the work holds until it has ended: a repeat begins nothing beside it.
    const answer = await withTimeLimit('The request', options.timeLimitMs, () =>
      otelContext.with(state.trace, work),
    );
    send(response, answer);
  };
}

function send(response: Response, answer: RouteResponse): void {
  response.status(answer.status).set(answer.headers ?? {});
  if (answer.body === undefined) {
    response.end();
    return;
  }
  if (!response.hasHeader('Content-Type')) response.type('application/json');
  // As bytes: express adds a charset to texts, and JSON types have none.
  response.send(Buffer.from(JSON.stringify(answer.body)));
}

function otherMethod(methods: readonly string[]): RequestHandler {
  const allowed = methods.join(', ');
  return (request, response) => {
    if (request.method === 'OPTIONS') {
      response.set('Allow', allowed).status(204).end();
      return;
    }
    throw new Problem(405, 'method-not-allowed', `${request.method} is not possible here, but ${allowed}.`, {
      headers: { Allow: allowed },
    });
  };
}

function fail(log: Logger) {
  // Express knows an error handler by its four parameters.
  return (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const state = stateOf(response);
    const problem = problemOf(error);
    if (problem.status >= 500) {
      withContext(state.work, () => {
        log.error(
          { err: error, requestId: state.id, method: request.method, path: request.path },
          'request failed',
        );
      });
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    send(response, problemResponse(problem, state.id));
  };
}

function stateOf(response: Response): RequestState {
  const state = states.get(response);
  if (state === undefined) throw new Error('The request has no state.');
  return state;
}
