/** Runs this Node on the repository, as a child that cannot outlive us. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { endingWithUs } from '@warren/environment';

export const root = join(import.meta.dirname, '../..');

export interface ChildOptions {
  /** `pipe` gives back what it writes; `inherit` shows it, but for its stdout. */
  output: 'pipe' | 'inherit';
  env?: object;
  /** A file that it writes at its end: once it is there, it has half a minute to end. */
  result?: string;
  /** Kills it, and is thrown. */
  signal: AbortSignal;
}

export interface Ended {
  code: number | string;
  output: string;
  /** It had written its result, and had to be killed. */
  hung: boolean;
}

export async function runNode(args: readonly string[], options: ChildOptions): Promise<Ended> {
  const { output, env = {}, result, signal } = options;
  signal.throwIfAborted();
  const child: ChildProcess = spawn(...endingWithUs(process.execPath, ...args), {
    cwd: root,
    env: { ...process.env, ...env },
    // A group of its own: Ctrl-C reaches us, and we end it with its workers.
    detached: true,
    // jest's summary is on stderr; its --json must not fill our stdout.
    stdio: ['ignore', output === 'pipe' ? 'pipe' : 'ignore', output],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => (text += part));
  }
  const abort = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  signal.addEventListener('abort', abort);
  let hung = false;
  let patience = 30;
  const watch = setInterval(() => {
    if (result === undefined || !existsSync(result) || (patience -= 1) > 0) return;
    hung = true;
    abort();
  }, 1_000);
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, killedBy) => resolve(exit ?? killedBy ?? '?'));
    });
    signal.throwIfAborted();
    return { code, output: text, hung };
  } finally {
    clearInterval(watch);
    signal.removeEventListener('abort', abort);
  }
}
