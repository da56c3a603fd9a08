/**
 * `/livez`, `/readyz` and `/metrics`. Liveness says only that the process answers: a broker or an API server that is down must
 * not restart the operator. Readiness says that everything that exists has been listed; a standby is ready too.
 */
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { PortTakenError } from './errors.ts';

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
}

export async function startServer({ port, registry, notReady }: ServerOptions): Promise<OperatorServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
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
      registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        (error: unknown) => answer(response, 500, { error: String(error) }),
      );
    } else {
      answer(response, 404, { error: 'not found: use /livez, /readyz or /metrics' });
    }
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      failed(error.code === 'EADDRINUSE' ? new PortTakenError(port) : error),
    );
    server.listen(port, () => {
      server.removeAllListeners('error');
      listening();
    });
  });
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((closed) => server.close(() => closed()));
  };
  return {
    port: (server.address() as AddressInfo).port,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
