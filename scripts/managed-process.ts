/**
 * One child process that the scripts own: its output goes to a log file, its JSON lines to a listener,
 * and it dies with its parent, however that ends (on Linux by the parent-death signal).
 *
 * It runs in a process group of its own, so that Ctrl-C reaches the script alone, which then ends its
 * children in order.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export type LogRecord = Readonly<Record<string, unknown>>;

export interface ManagedProcessOptions {
  name: string;
  /** Arguments to this process's own Node. */
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  logDir: string;
  /** For every line that is a JSON object. */
  onLog?: ((process: string, record: LogRecord) => void) | undefined;
  /** It ended and nobody had asked it to. */
  onUnexpectedEnd?: ((process: ManagedProcess) => void) | undefined;
}

/** A process that is needed has ended; the message has its last log lines. */
export class ProcessEndedError extends Error {
  override readonly name = 'ProcessEndedError';
  readonly code = 'WARREN_PROCESS_ENDED';

  constructor({ name, ended, lastLines, logFile }: ManagedProcess) {
    const lines = lastLines.map((line) => `      ${readable(line)}`).join('\n');
    super(`${name} ended with ${ended ?? 'nothing'}. Its last lines (all in ${logFile}):\n${lines}`);
  }
}

/** A log line for people: `error it broke: no mailbox` out of its JSON; any other line as it is. Not endless. */
export function readable(line: string): string {
  const record = jsonObject(line.slice(line.indexOf('{')));
  if (record === undefined) return shortened(line);
  const { level, msg, err, message } = record;
  const cause = typeof err === 'object' && err !== null && 'message' in err ? `: ${String(err.message)}` : '';
  return shortened(typeof message === 'string' ? message : `${String(level)} ${String(msg)}${cause}`);
}

function shortened(line: string): string {
  return line.length > SHOWN ? `${line.slice(0, SHOWN - 1)}…` : line;
}

const SHOWN = 400;

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));
const LINES_KEPT = 8;
const LINE_LENGTH = 4000;

export class ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #options: ManagedProcessOptions;
  readonly #lastLines: string[] = [];
  #child: ChildProcess | undefined;
  #exit: Promise<string> | undefined;
  #endWanted = false;
  #starts = 0;
  /** How the process ended, such as `code 1` or `SIGKILL`; undefined while it runs or before its start. */
  ended: string | undefined;

  constructor(options: ManagedProcessOptions) {
    this.name = options.name;
    this.#options = options;
    this.logFile = join(options.logDir, `${options.name}.log`);
  }

  get pid(): number | undefined {
    return this.ended === undefined ? this.#child?.pid : undefined;
  }

  /** The last lines it wrote, but those of level debug; shortened to be shown. */
  get lastLines(): readonly string[] {
    return this.#lastLines;
  }

  start(): void {
    if (this.pid !== undefined) throw new Error(`${this.name} is running already, as process ${this.pid}`);
    const { args, cwd, env, logDir } = this.#options;
    mkdirSync(logDir, { recursive: true });
    const log = createWriteStream(this.logFile, { flags: this.#starts === 0 ? 'w' : 'a' });
    this.#starts += 1;
    this.#endWanted = false;
    this.ended = undefined;
    const child = setpriv
      ? spawn(setpriv, ['--pdeathsig', 'KILL', '--', process.execPath, ...args], spawnOptions(cwd, env))
      : spawn(process.execPath, args, spawnOptions(cwd, env));
    this.#child = child;
    this.#exit = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (code, signal) => resolve(signal ?? `code ${code ?? '?'}`));
    }).then((how) => {
      this.ended = how;
      log.end();
      if (!this.#endWanted) this.#options.onUnexpectedEnd?.(this);
      return how;
    });
    this.#read(child.stdout, log);
    this.#read(child.stderr, log);
  }

  /** Sends a signal and waits for the end. `SIGKILL` leaves the process no chance to tidy up. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.pid === undefined) return;
    this.#endWanted = true;
    this.#child?.kill(signal);
    await this.#exit;
  }

  /** SIGTERM, and SIGKILL where that was not enough within the time. */
  async stop(deadlineMs = 20_000): Promise<void> {
    if (this.pid === undefined) return;
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), deadlineMs);
    try {
      await this.kill('SIGTERM');
    } finally {
      clearTimeout(timer);
    }
  }

  #read(stream: NodeJS.ReadableStream, log: WriteStream): void {
    createInterface({ input: stream }).on('line', (line) => {
      log.write(`${line}\n`);
      const record = jsonObject(line);
      if (record !== undefined) this.#options.onLog?.(this.name, record);
      if (record?.['level'] === 'debug') return;
      this.#lastLines.push(line.slice(0, LINE_LENGTH));
      if (this.#lastLines.length > LINES_KEPT) this.#lastLines.shift();
    });
  }
}

function spawnOptions(cwd: string, env: Readonly<Record<string, string>>) {
  return {
    cwd,
    // Stripping the types of every module again would be half of a start.
    env: { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, '..', '.cache', 'node'), ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
  };
}

/** A line that only looks like JSON is none; it is in the log file. */
function jsonObject(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as LogRecord;
  } catch {
    return undefined;
  }
}
