/**
 * The HTTP server under terminus: health paths, signals, and an end that lets requests finish.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createTerminus } from '@godaddy/terminus';
import type { HealthCheckMap } from '@godaddy/terminus';
import type { Express } from 'express';

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** Takes no new request, lets those in flight finish, then cuts what is left. */
  stop(): Promise<void>;
  /** Stops listening to signals. */
  ignoreSignals(): void;
}

/** How the server is run. */
export interface ServerOptions {
  readonly app: Express;
  readonly port: number;
  readonly host: string | undefined;
  readonly health: HealthCheckMap;
  /** True from the first step of the end on. */
  readonly isDraining: () => boolean;
  /** How long requests in flight may take at the end. */
  readonly graceMs: number;
  /** What a signal does; none: signals are not listened to. */
  readonly onSignal: { before: () => Promise<void>; after: () => Promise<void> } | undefined;
}

const signals = ['SIGTERM', 'SIGINT'] as const;

/** Listens; rejects when the port is taken. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const server = createServer(options.app);
  server.requestTimeout = 30_000;
  server.headersTimeout = 10_000;
  // terminus listens to signals always, and keeps its listeners for ever: remember which ones are its own.
  const known = new Set(signals.flatMap((signal) => process.listeners(signal)));
  createTerminus(server, {
    healthChecks: options.health,
    // A service that stops is not dead: only readiness fails (health.ts).
    sendFailuresDuringShutdown: false,
    signals: [...signals],
    timeout: options.graceMs,
    useExit0: true,
    ...(options.onSignal === undefined
      ? {}
      : { beforeShutdown: options.onSignal.before, onSignal: options.onSignal.after }),
  });
  // A kept connection that is closed while its client sends the next request fails that request, though it may be handled:
  // so every answer from now on tells the client to leave by itself.
  server.prependListener('request', (_request, response: ServerResponse) => {
    if (options.isDraining()) response.setHeader('Connection', 'close');
  });
  // terminus compares whole URLs: `/readyz?verbose` is `/readyz` all the same.
  server.prependListener('request', (request: IncomingMessage) => {
    const [path = '', query] = request.url?.split('?', 2) ?? [];
    if (query !== undefined && path in options.health) request.url = path;
  });
  const ignoreSignals = () => {
    for (const signal of signals) {
      for (const listener of mine.filter((one) => one.signal === signal)) {
        process.removeListener(signal, listener.listener);
      }
    }
  };
  const mine = signals.flatMap((signal) =>
    process
      .listeners(signal)
      .filter((listener) => !known.has(listener))
      .map((listener) => ({ signal, listener })),
  );
  if (options.onSignal === undefined) ignoreSignals();
  try {
    await listen(server, options.port, options.host);
  } catch (error) {
    ignoreSignals();
    throw error;
  }
  return {
    url: urlOf(server, options.host),
    stop: () => stop(server),
    ignoreSignals,
  };
}

function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function urlOf(server: Server, host: string | undefined): string {
  const { port } = server.address() as AddressInfo;
  const shown = host === undefined || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    // terminus has made the server stoppable: idle connections are closed, the others get their grace.
    (server as Server & { stop(done: (error?: Error | null) => void): void }).stop((error) => {
      if (error instanceof Error) reject(error);
      else resolve();
    });
  });
}
