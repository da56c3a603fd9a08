/**
 * A service as a process of its own, for what only a process can show: signals, kills, and traces across processes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** How it is started. */
export interface TestProcessOptions {
  /** The file that Node runs. */
  readonly main: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A line of a service's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string };

/** A running process; disposing kills it. */
export interface TestProcess extends AsyncDisposable {
  readonly pid: number;
  /** Its log, as far as it was read. */
  readonly log: readonly LogLine[];
  /** Everything it wrote that is no log line. */
  readonly output: readonly string[];
  /** Resolves when it listens. @throws when it ends before */
  listening(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with its exit code, or the signal that ended it. */
  ended(): Promise<number | NodeJS.Signals>;
}

/** Starts Node with the sources of the workspace. */
export function startProcess({ main, args = [], env }: TestProcessOptions): TestProcess {
  const child = spawn(
    process.execPath,
    ['--conditions=warren-source', '--disable-warning=ExperimentalWarning', main, ...args],
    // A quiet one would not tell where it listens; the log is read here and shown to nobody.
    { env: { ...process.env, ...env, LOG_LEVEL: 'info' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const log: LogLine[] = [];
  const output: string[] = [];
  const url = Promise.withResolvers<string>();
  url.promise.catch(() => undefined);
  const exit = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const ended = exit.then(([code, signal]) => {
    url.reject(new Error(`${main} ended before it listened:\n${output.join('\n')}`));
    return code ?? signal ?? 'SIGKILL';
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (text) => {
      const line = logLine(text);
      if (line === undefined) output.push(text);
      else log.push(line);
      if (line?.msg === 'listening') url.resolve(String(line['url']));
    });
  }
  return {
    pid: child.pid ?? 0,
    log,
    output,
    listening: () => url.promise,
    kill: (signal) => {
      child.kill(signal);
    },
    ended: () => ended,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}

function logLine(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
