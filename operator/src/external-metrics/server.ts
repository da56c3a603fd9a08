/**
 * Serves the external metrics API over TLS, as an aggregated API server does: only the API server may ask, for users that it
 * names, and each of them is authorised by it. Certificates and authorities change without a restart.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Log } from '@warren/controller';
import { listening } from '../listening.ts';
import { answerTo, attributesOf, failure } from './api.ts';
import type { Answer, MetricOf } from './api.ts';
import type { Authorize } from './authorizer.ts';
import { requesterOf } from './front-proxy.ts';
import type { FrontProxy } from './front-proxy.ts';
import type { Serving } from './serving.ts';

export interface ExternalMetricsServer extends AsyncDisposable {
  readonly port: number;
  /** From the next connection on. Those that a withdrawn authority vouches for are ended. */
  update(serving: Serving): void;
  close(): Promise<void>;
}

export interface ExternalMetricsServerOptions {
  /** 0 takes any free port. */
  port: number;
  metricOf: MetricOf;
  authorize: Authorize;
  log: Log;
}

export async function startExternalMetrics({
  port,
  metricOf,
  authorize,
  log,
}: ExternalMetricsServerOptions): Promise<ExternalMetricsServer> {
  let frontProxy: FrontProxy | undefined;
  let applied = '';
  const respond = async (request: IncomingMessage): Promise<Answer> => {
    const { method = 'GET', socket, headersDistinct } = request;
    const url = new URL(request.url ?? '/', 'https://warren');
    // A certificate is asked for, and whoever has none is answered: with a sentence instead of a broken handshake.
    const requester =
      frontProxy === undefined ? undefined : requesterOf(frontProxy, verifiedName(socket), headersDistinct);
    if (requester === undefined)
      return failure(401, 'Unauthorized', 'only the API server may ask: go through it');
    const attributes = attributesOf(method, url.pathname);
    if (!(await authorize(requester, attributes)))
      return failure(403, 'Forbidden', `user "${requester.user}" may not ${JSON.stringify(attributes)}`);
    return answerTo({ method, path: url.pathname, query: url.searchParams }, metricOf, new Date());
  };
  const server = createServer(
    { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
    (request: IncomingMessage, response: ServerResponse) => {
      request.resume();
      respond(request).then(
        (answer) => send(response, answer),
        (error: unknown) => {
          log.warn({ error: String(error) }, 'a request for an external metric could not be answered');
          send(
            response,
            failure(500, 'InternalError', 'the API server could not be asked whether this is allowed'),
          );
        },
      );
    },
  );
  server.requestTimeout = 10_000;
  const sockets = new Set<Socket>();
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const listens = await listening(server, port, 'EXTERNAL_METRICS_PORT');
  return {
    ...listens,
    update: ({ certificates, frontProxy: published }) => {
      const ca = published?.authority;
      const now = JSON.stringify([certificates['tls.crt'], published]);
      if (now === applied) return;
      // Without an authority the well-known ones would be believed; requests are refused before that matters.
      server.setSecureContext({
        ...{ cert: certificates['tls.crt'], key: certificates['tls.key'], minVersion: 'TLSv1.2' },
        ...(ca === undefined ? {} : { ca }),
      });
      if (ca !== frontProxy?.authority) for (const socket of sockets) socket.destroy();
      frontProxy = published;
      applied = now;
    },
    [Symbol.asyncDispose]: () => listens.close(),
  };
}

/** The common name of the client's certificate, if one of the authorities vouches for it. */
function verifiedName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const name: unknown = socket.getPeerCertificate().subject.CN;
  return typeof name === 'string' ? name : undefined;
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}
