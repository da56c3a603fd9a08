/**
 * A TCP proxy that fails on command: what a network does to a connection, without touching the broker that other
 * tests use.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** The same URL, through the proxy. */
  through(url: string): string;
  /** Connections that are open now. */
  readonly connections: number;
  /** Ends every connection at once, by RST; new ones are taken. */
  cut(): void;
  /** Ends every connection and takes no new one, until restore(). */
  down(): Promise<void>;
  /** Moves no byte any more, without ending anything (a dead peer), until restore(). */
  stall(): void;
  restore(): Promise<void>;
  /** Bytes moved from the client to the server so far. */
  readonly sentBytes: number;
}

export async function tcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const pairs = new Set<[Socket, Socket]>();
  let stalled = false;
  let sentBytes = 0;
  let server: Server;
  let port = 0;

  const listen = async (): Promise<void> => {
    server = createServer((client) => {
      const upstream = connect(Number(targetPort), hostname);
      const pair: [Socket, Socket] = [client, upstream];
      pairs.add(pair);
      client.on('data', (bytes) => (sentBytes += bytes.length));
      client.pipe(upstream);
      upstream.pipe(client);
      if (stalled) freeze(pair);
      for (const socket of pair) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
      }
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  };
  const freeze = ([client, upstream]: [Socket, Socket]): void => {
    client.unpipe(upstream).pause();
    upstream.unpipe(client).pause();
  };
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
  };
  const down = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    cut();
    await closed;
  };

  await listen();
  return {
    get port() {
      return port;
    },
    get connections() {
      return pairs.size;
    },
    get sentBytes() {
      return sentBytes;
    },
    through(url) {
      const changed = new URL(url);
      changed.hostname = '127.0.0.1';
      changed.port = String(port);
      return changed.href;
    },
    cut,
    down,
    stall() {
      stalled = true;
      for (const pair of pairs) freeze(pair);
    },
    async restore() {
      stalled = false;
      for (const [client, upstream] of pairs) {
        client.pipe(upstream);
        upstream.pipe(client);
      }
      if (!server.listening) await listen();
    },
    async [Symbol.asyncDispose]() {
      if (server.listening) await down();
      else cut();
    },
  };
}
