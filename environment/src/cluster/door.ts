/**
 * The way into the cluster's network: a Unix socket, which is a file and so is seen from other network namespaces. Runs
 * inside, as `node door.ts SOCKET PORT`: what connects to the socket is led to the port there.
 */
import { rmSync } from 'node:fs';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

/** Joins two sockets until either ends. */
export function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one);
  for (const [socket, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    socket.on('error', () => peer.destroy());
    socket.on('close', () => peer.destroy());
  }
}

/** A server whose every connection is led to `target`. */
export const leadTo = (target: NetConnectOpts): Server =>
  createServer((socket) => join(socket, connect(target)));

if (import.meta.main) {
  const [path, port] = process.argv.slice(2);
  if (path === undefined || port === undefined) throw new TypeError('usage: node door.ts SOCKET PORT');
  rmSync(path, { force: true });
  leadTo({ host: '127.0.0.1', port: Number(port) }).listen(path);
}
