/**
 * Keeps the MongoDB driver from waiting for ever on a socket that is destroyed and not closed yet.
 *
 * Node answers a write to such a socket with `false` and with no event but `close`; the driver (7.8, `writeCommand` in
 * `cmap/connection.js`) then waits for `drain`, without a limit. When it is the connection that watches the server,
 * nothing ever looks at that server again, and the process does not find its database until it is started anew.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import mongoose from 'mongoose';

type WriteCommand = (this: { readonly socket: Socket }, ...args: unknown[]) => Promise<void>;

interface DriverConnection {
  readonly Connection: { readonly prototype: { writeCommand: WriteCommand } };
}

let isDone = false;

/** Once per process; then a command whose socket closes or breaks before it is written fails with MongoNetworkError. */
export function failWritesToClosedSockets(): void {
  if (isDone) return;
  isDone = true;
  const { prototype } = driverConnection().Connection;
  const { writeCommand } = prototype;
  prototype.writeCommand = async function (...args) {
    if (this.socket.destroyed) throw socketClosed();
    const closed = Promise.withResolvers<never>();
    const onClose = () => closed.reject(socketClosed());
    this.socket.once('close', onClose);
    try {
      await Promise.race([writeCommand.apply(this, args), closed.promise]);
    } catch (error) {
      throw isOfSocket(error) ? socketClosed(error) : error;
    } finally {
      this.socket.off('close', onClose);
    }
  };
}

/** The driver that mongoose uses, and not another copy of it. */
function driverConnection(): DriverConnection {
  const here = createRequire(import.meta.url);
  return createRequire(here.resolve('mongoose'))('mongodb/lib/cmap/connection.js') as DriverConnection;
}

/** The driver lets it through as it is where the socket breaks while it waits for `drain`. */
const isOfSocket = (error: unknown): error is Error =>
  typeof error === 'object' && error !== null && 'syscall' in error;

const socketClosed = (cause?: Error) =>
  new mongoose.mongo.MongoNetworkError(
    'The socket to the database was closed before the command was written.',
    cause && { cause },
  );
