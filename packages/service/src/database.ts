/**
 * The database of a service: one mongoose connection that is asked for until it is there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import mongoose from 'mongoose';
import type { Connection } from 'mongoose';
import { failWritesToClosedSockets } from './driver-sockets.ts';
import type { Logger } from './log.ts';

/** A connection that is not open yet; commands on it fail at once and do not queue up. */
export function createDatabase(): Connection {
  failWritesToClosedSockets();
  const connection = mongoose.createConnection();
  connection.set('bufferCommands', false);
  return connection;
}

/** Opens the connection; tries again until it works or `signal` is aborted. */
export async function openDatabase(
  connection: Connection,
  url: string,
  service: string,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const named = /^mongodb(?:\+srv)?:\/\/[^/]+\/[^?]+/.test(url);
  for (let waitMs = 200; ; waitMs = Math.min(waitMs * 2, 5000)) {
    signal.throwIfAborted();
    try {
      await connection.openUri(url, {
        ...(named ? {} : { dbName: service }),
        appName: service,
        autoCreate: false,
        autoIndex: false,
        bufferCommands: false,
        serverSelectionTimeoutMS: 3000,
        // A database that is dead without saying so is noticed within the sum of these two; by default after 40 s.
        heartbeatFrequencyMS: 2000,
        connectTimeoutMS: 5000,
        maxPoolSize: 50,
        // What is acknowledged is answered to a client or acknowledged to the broker: it must not be lost.
        w: 'majority',
        journal: true,
      });
      return;
    } catch (error) {
      log.warn({ err: error }, 'the database does not answer yet');
      await sleep(waitMs, undefined, { signal });
    }
  }
}

/** The health check. */
export async function pingDatabase(connection: Connection): Promise<void> {
  if (connection.db === undefined) throw new Error('The database is not connected yet.');
  await connection.db.command({ ping: 1 }, { timeoutMS: 1000 });
}
