/**
 * `/livez`, `/readyz` and `/metrics` (of which `?name[]=` picks some), and `/scaling/<namespace>/<name>` for KEDA. Liveness
 * says only that the process answers: a broker or an API server that is down must not restart the operator. Readiness says that
 * everything that exists has been listed; a standby is ready too.
 */
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { MetricOf } from './external-metrics/api.ts';
import { listening } from './listening.ts';

export interface OperatorServer extends AsyncDisposable {
  readonly port: number;
  close(): Promise<void>;
}

export interface ServerOptions {
  /** 0 takes any free port. */
  port: number;
  registry: Registry;
  /** What is not ready yet; empty when all is. */
  notReady: () => string[];
  /** How many replicas a subscription should have: what KEDA reads. */
  metricOf?: MetricOf | undefined;
}

export async function startServer({
  port,
  registry,
  notReady,
  metricOf,
}: ServerOptions): Promise<OperatorServer> {
  const server = createServer((request, response) => {
    const [path = '', query] = request.url?.split('?') ?? [];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      answer(response, 405, { error: 'only GET' });
    } else if (path === '/livez') {
      answer(response, 200, { status: 'ok' });
    } else if (path === '/readyz') {
      const waiting = notReady();
      if (waiting.length === 0) answer(response, 200, { status: 'ok' });
      else answer(response, 503, { status: 'error', waiting });
    } else if (path === '/metrics') {
      metricsIn(registry, new URLSearchParams(query).getAll('name[]')).then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        (error: unknown) => answer(response, 500, { error: String(error) }),
      );
    } else if (metricOf !== undefined && path.startsWith('/scaling/')) {
      const { status, body } = scalingAnswer(path, metricOf);
      answer(response, status, body);
    } else {
      answer(response, 404, { error: 'not found: use /livez, /readyz or /metrics' });
    }
  });
  const listens = await listening(server, port, 'OPERATOR_PORT');
  return { ...listens, [Symbol.asyncDispose]: () => listens.close() };
}

/** All, or those of these names: with very many subscriptions the page is long. */
async function metricsIn(registry: Registry, names: readonly string[]): Promise<string> {
  if (names.length === 0) return registry.metrics();
  const found = [...new Set(names)].filter((name) => registry.getSingleMetric(name) !== undefined);
  const texts = await Promise.all(found.map((name) => registry.getSingleMetricAsString(name)));
  return texts.map((text) => `${text}\n`).join('\n');
}

/** An error where the number is not known: KEDA then leaves everything as it is. */
function scalingAnswer(path: string, metricOf: MetricOf): { status: number; body: object } {
  const [namespace = '', name = ''] = path.split('/').slice(2);
  const found = metricOf(namespace, name);
  if (found === undefined) return { status: 404, body: { error: 'no such subscription with scaling' } };
  if ('unknown' in found) return { status: 503, body: { error: found.unknown } };
  return { status: 200, body: { desired: found.replicas } };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
