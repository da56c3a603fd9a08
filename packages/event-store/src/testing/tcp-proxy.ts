/**
 * For tests: a TCP proxy in front of the database that fails on command, as a network does between a write and its
 * answer. The database that other tests use is not touched.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  /** The same URL, through the proxy. */
  through(url: string): string;
  /**
   * The next `times` requests that hold the text reach the database and are done, but their answers are lost and their
   * connections with them.
   */
  loseAnswers(text: string, times?: number): void;
  /** Requests that hold the text wait before the database, until `restore`; all others are answered. */
  hold(text: string): void;
  /** How many answers were lost. */
  readonly lost: number;
  /** Moves no byte any more, without ending anything, as a dead peer: until `restore`. */
  stall(): void;
  /** Ends all connections and takes no new ones until `restore`. */
  down(): void;
  restore(): void;
}

export async function tcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let mode: 'pass' | 'stall' | 'down' = 'pass';
  let losing = { text: '', times: 0 };
  let lost = 0;
  let heldText: string | undefined;
  let held: (() => void)[] = [];

  const server = createServer((client) => {
    if (mode === 'down') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    let doomed = false;
    client.on('data', (request) => {
      if (mode !== 'pass') return;
      if (heldText !== undefined && request.includes(heldText)) {
        held.push(() => upstream.write(request));
        return;
      }
      if (losing.times > 0 && request.includes(losing.text)) {
        losing.times--;
        doomed = true;
      }
      upstream.write(request);
    });
    upstream.on('data', (answer) => {
      if (mode !== 'pass') return;
      if (doomed) {
        lost++;
        client.resetAndDestroy();
      } else client.write(answer);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = (server.address() as AddressInfo).port;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  return {
    through(url) {
      const changed = new URL(url);
      changed.host = `127.0.0.1:${own}`;
      return changed.href;
    },
    loseAnswers: (text, times = 1) => void (losing = { text, times }),
    get lost() {
      return lost;
    },
    stall: () => void (mode = 'stall'),
    down() {
      mode = 'down';
      cut();
    },
    hold: (text) => void (heldText = text),
    restore() {
      mode = 'pass';
      heldText = undefined;
      for (const send of held) send();
      held = [];
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
