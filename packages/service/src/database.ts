/**
 * The database of a service: one mongoose connection that is asked for until it is there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDuplicateKey } from '@warren/event-store';
import mongoose from 'mongoose';
import type { Connection } from 'mongoose';
import { failWritesToClosedSockets } from './driver-sockets.ts';
import type { Logger } from './log.ts';
import { withTimeLimit } from './time-limit.ts';

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
        waitQueueTimeoutMS: 5000,
        // What is acknowledged is answered to a client or acknowledged to the broker: it must not be lost.
        w: 'majority',
        journal: true,
        wtimeoutMS: 5000,
      });
      return;
    } catch (error) {
      log.warn({ err: error }, 'the database does not answer yet');
      await sleep(waitMs, undefined, { signal });
    }
  }
}

/**
 * The health check: one small write that a majority must take. A database whose disk is stalled, or whose majority is
 * away, still answers a ping.
 */
export function createDatabaseCheck(connection: Connection): () => Promise<void> {
  let asked: Promise<void> | undefined;
  const write = async () => {
    if (connection.db === undefined) throw new Error('The database is not connected yet.');
    const health = connection.db.collection<{ _id: string }>('health');
    try {
      await health.updateOne({ _id: 'health' }, { $currentDate: { at: true } }, { upsert: true });
    } catch (error) {
      // Two replicas made the document at the same moment.
      if (!isDuplicateKey(error)) throw error;
    }
  };
  const what = 'Writing to the database';
  // While one has no answer there is no second: each would keep a connection. One whose answer is lost is given up.
  const ask = () => (asked ??= withTimeLimit(what, givenUpAfterMs, write).finally(() => (asked = undefined)));
  return () => withTimeLimit(what, writeLimitMs, ask);
}

/** Within the second of a health check, so that it can say what hangs. */
const writeLimitMs = 900;
const givenUpAfterMs = 10_000;
