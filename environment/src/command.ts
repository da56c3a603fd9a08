/** Runs a command to its end, saying every few seconds how far it is. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { contained } from './contained.ts';
import { EnvironmentError } from './errors.ts';
import { onExit } from './exit.ts';
import type { Report } from './progress.ts';

export interface CommandOptions {
  part: string;
  report: Report;
  /** What is being done, for the progress lines: `building kube-apiserver`. */
  what: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** In namespaces of its own where this machine can: all that it starts and mounts ends with it, and it with us. */
  contained?: boolean;
  /** What to show for a line of output; undefined shows nothing new. The line itself by default. */
  show?: (line: string) => string | undefined;
}

const EVERY_MS = process.stderr.isTTY ? 3_000 : 10_000;

/** Gives back stdout. Rejects with `WARREN_ENVIRONMENT_BUILD` and the last lines where the command fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<string> {
  const { part, report, what, signal, show = (line: string) => line } = options;
  signal?.throwIfAborted();
  const [program, given] = options.contained === true ? contained(command, ...args) : [command, args];
  const child = spawn(program, given, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C at the terminal reaches us, and we end it.
    detached: true,
  });
  const groupEnds = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  signal?.addEventListener('abort', groupEnds);
  const atExit = onExit(groupEnds);
  const last: string[] = [];
  let stdout = '';
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (last.push(line) > 15) last.shift();
    shown = show(line) ?? shown;
  });
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(0);
  const timer = setInterval(() => {
    report(part, `${what}: ${seconds()} s${shown && ` · ${shown.slice(0, 100)}`}`);
  }, EVERY_MS);
  try {
    const code = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, killedBy) => resolve(exit ?? killedBy));
    });
    signal?.throwIfAborted();
    if (code !== 0) {
      const output = [...last, ...stdout.split('\n').slice(-5)].join('\n').trim();
      throw new EnvironmentError(
        'WARREN_ENVIRONMENT_BUILD',
        `${what}: ${command} ended with ${code ?? 'nothing'}\n${output}`,
      );
    }
    return stdout;
  } catch (error) {
    if (error instanceof EnvironmentError || signal?.aborted) throw error;
    throw new EnvironmentError('WARREN_ENVIRONMENT_BUILD', `${what}: cannot run ${command}`, {
      cause: error,
    });
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', groupEnds);
    atExit[Symbol.dispose]();
  }
}

/** Whether a command is there and succeeds within a few seconds. */
export function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore', timeout: 10_000, killSignal: 'SIGKILL' });
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(code === 0));
  });
}
