import type { Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import mongoose from 'mongoose';
import { createDatabase } from './database.ts';

/** What the driver shows to nobody: the connection that watches a server. */
interface Watching {
  readonly topology: {
    readonly s: {
      readonly servers: ReadonlyMap<
        string,
        {
          readonly monitor: {
            readonly connection: { readonly socket: Socket } | null;
            requestCheck: () => void;
          };
        }
      >;
    };
  };
}

async function watched() {
  const { url } = await testDatabase();
  const connection = createDatabase();
  await connection.openUri(url, {
    heartbeatFrequencyMS: 500,
    serverMonitoringMode: 'poll',
    serverSelectionTimeoutMS: 5_000,
    autoCreate: false,
  });
  const client = connection.getClient();
  const monitor = () => [...(client as unknown as Watching).topology.s.servers.values()][0]?.monitor;
  await eventually(() => monitor()?.connection !== null);
  return { connection, client, monitor, [Symbol.asyncDispose]: () => connection.close() };
}

test('a server whose watching connection breaks just before it is used is looked at again', async () => {
  await using t = await watched();
  const ends: string[] = [];
  t.client.on('serverHeartbeatFailed', () => ends.push('failed'));
  t.client.on('serverHeartbeatSucceeded', () => ends.push('succeeded'));
  t.client.once('serverHeartbeatStarted', () => t.monitor()?.connection?.socket.destroy());
  await eventually(() => ends.includes('failed'));
  await eventually(() => ends.at(-1) === 'succeeded');
  expect(await t.connection.db?.command({ ping: 1 })).toMatchObject({ ok: 1 });
});

test('a command whose socket is destroyed, or breaks, fails as one of the network, so that what may be tried again is', async () => {
  const rejection = async (breaks: (socket: Socket) => void): Promise<unknown> => {
    await using t = await watched();
    const connection = t.monitor()?.connection as unknown as {
      readonly socket: Socket;
      writeCommand: (command: { toBin: () => Uint8Array[] }, options: object) => Promise<void>;
    };
    breaks(connection.socket);
    return await connection
      .writeCommand({ toBin: () => [] }, { agreedCompressor: 'none' })
      .catch((error: unknown) => error);
  };
  const { MongoNetworkError } = mongoose.mongo;
  expect(await rejection((socket) => socket.destroy())).toBeInstanceOf(MongoNetworkError);
  const reset = Object.assign(new Error('write ECONNRESET'), { code: 'ECONNRESET', syscall: 'write' });
  const broken = await rejection((socket) => {
    socket.write = () => {
      setImmediate(() => socket.destroy(reset));
      return false;
    };
  });
  expect(broken).toBeInstanceOf(MongoNetworkError);
});
