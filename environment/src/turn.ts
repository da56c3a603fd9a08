/**
 * One at a time, of all processes of this machine. Whoever has its turn listens on an abstract socket: a name in the
 * kernel and no file, so it is gone with its process, `kill -9` included, and nothing is left to be judged stale. Whoever
 * waits is connected to it and sees it close.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Report } from './progress.ts';

export interface TurnOptions {
  /** What the turns are for: a name, the same for all that must not do it at once. */
  of: string;
  part: string;
  /** What to say meanwhile, to people: `waiting for another process that builds helm`. */
  waiting: string;
  report: Report;
  signal?: AbortSignal | undefined;
}

const SAY_EVERY_MS = 10_000;

/**
 * Waits until nobody has the turn, and takes it until it is disposed. Other kernels than Linux have no such sockets: there
 * everybody has the turn at once.
 */
export async function turn(options: TurnOptions): Promise<Disposable> {
  if (process.platform !== 'linux') return { [Symbol.dispose]: () => undefined };
  const { of, part, waiting, report, signal } = options;
  const name = `\0warren-${createHash('sha256').update(of).digest('hex').slice(0, 32)}`;
  const started = performance.now();
  let said: NodeJS.Timeout | undefined;
  const say = () => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    report(part, said === undefined ? waiting : `${waiting}: ${seconds} s`);
  };
  try {
    for (;;) {
      signal?.throwIfAborted();
      const taken = await take(name);
      if (taken !== undefined) return taken;
      if (said === undefined) say();
      said ??= setInterval(say, SAY_EVERY_MS);
      await ended(name, signal);
    }
  } finally {
    clearInterval(said);
  }
}

/** The turn, or undefined where somebody else has it. */
async function take(name: string): Promise<Disposable | undefined> {
  const others = new Set<Socket>();
  const server = createServer((socket) => {
    others.add(socket);
    socket.on('error', () => undefined).once('close', () => others.delete(socket));
  });
  server.listen(name);
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined;
    throw error;
  }
  return {
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of others) socket.destroy();
    },
  };
}

/** Resolves when whoever has the turn has given it back, or has ended. */
async function ended(name: string, signal: AbortSignal | undefined): Promise<void> {
  const socket = connect({ path: name, ...(signal && { signal }) });
  // It may have ended just now.
  socket.on('error', () => undefined).resume();
  await new Promise((resolve) => socket.once('close', resolve));
}
