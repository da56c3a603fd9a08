/**
 * `/livez`, `/readyz` and `/metrics`. Liveness says only that the process answers: a broker or an API server that is down must
 * not restart the operator. Readiness says that everything that exists has been listed; a standby is ready too.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import terminus from '@godaddy/terminus';
import type { Registry } from 'prom-client';

const { createTerminus, HealthCheckError } = terminus;

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
    if (request.method === 'GET' && request.url?.split('?')[0] === '/metrics') {
      registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
      return;
    }
    response
      .writeHead(404, { 'content-type': 'application/json' })
      .end('{"error":"not found: use /livez, /readyz or /metrics"}\n');
  });
  createTerminus(server, {
    // Signals are the main program's: it knows in which order things end.
    signals: [],
    sendFailuresDuringShutdown: false,
    healthChecks: {
      '/livez': () => Promise.resolve({}),
      '/readyz': () => {
        const waiting = notReady();
        return waiting.length === 0
          ? Promise.resolve({})
          : Promise.reject(new HealthCheckError('not ready', { waiting }));
      },
    },
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(port, () => {
      server.off('error', failed);
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
