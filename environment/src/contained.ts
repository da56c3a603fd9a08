/**
 * A process that cannot outlive us. As root it is the first process of PID, mount and IPC namespaces of its own, and is
 * killed by the kernel when we end, however we end; with it go its children, its mounts and its shared memory. Without
 * root, on Linux, the process itself is killed; elsewhere it is ended by us, or by the next run that finds its record.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { EnvironmentError } from './errors.ts';
import { onExit } from './exit.ts';
import { end, isRunning, processNow, type ProcessId } from './process-id.ts';

const dieWithParent = ['setpriv', '--pdeathsig', 'KILL', '--'];
const ownNamespaces = [
  'unshare',
  '--mount',
  '--pid',
  '--ipc',
  '--fork',
  '--kill-child=KILL',
  '--mount-proc',
  '--',
];

const works = (command: readonly string[]) =>
  spawnSync(command[0] as string, [...command.slice(1), 'true'], { stdio: 'ignore' }).status === 0;

let prefix: readonly string[] | undefined;

/** What goes before a command on this machine. */
function containment(): readonly string[] {
  prefix ??= [[...dieWithParent, ...ownNamespaces], dieWithParent].find(works) ?? [];
  return prefix;
}

let bound: readonly string[] | undefined;

/** A command without children to care for, and among our processes: it is killed when we end, as far as this machine can. */
export function endingWithUs(...command: readonly string[]): [string, string[]] {
  bound ??= works(dieWithParent) ? dieWithParent : [];
  const [first, ...rest] = [...bound, ...command];
  return [first as string, rest];
}

/** Whether processes get namespaces of their own here, so that they may mount. */
export const hasNamespaces = (): boolean => containment().includes('unshare');

/** Puts a command into namespaces of its own that end with it, and it with its parent, as far as this machine can. */
export function contained(...command: readonly string[]): [string, string[]] {
  const [first, ...rest] = [...containment(), ...command];
  return [first as string, rest];
}

export interface ContainedOptions {
  name: string;
  command: readonly string[];
  logFile: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

export class Contained implements AsyncDisposable {
  readonly name: string;
  readonly #logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #id: ProcessId | undefined;
  /** How it ended; undefined while it runs. */
  end: string | undefined;

  private constructor(options: ContainedOptions, child: ChildProcess, ended: Promise<string>) {
    this.name = options.name;
    this.#logFile = options.logFile;
    this.#child = child;
    const atExit = onExit(this.#killNow);
    this.#ended = ended.then((how) => {
      this.end = how;
      atExit[Symbol.dispose]();
    });
  }

  static async start(options: ContainedOptions): Promise<Contained> {
    const [command, args] = contained(...options.command);
    const log = openSync(options.logFile, 'a', 0o600);
    try {
      const child = spawn(command, args, {
        cwd: options.cwd,
        env: { ...process.env, ...options.env },
        stdio: ['ignore', log, log],
        // A group of its own, so that Ctrl-C reaches us alone and we end things in order.
        detached: true,
      });
      const ended = new Promise<string>((resolve) => {
        child.once('exit', (code, signal) => resolve(signal ?? `code ${code ?? '?'}`));
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', (cause) => {
          reject(new EnvironmentError('WARREN_ENVIRONMENT_START', `cannot start ${options.name}`, { cause }));
        });
      });
      const started = new Contained(options, child, ended);
      await started.#begun();
      return started;
    } finally {
      closeSync(log);
    }
  }

  /** The process itself; in a namespace the first one there, whose end is the end of all in it. Undefined if it ended at once. */
  get id(): ProcessId | undefined {
    return this.#id;
  }

  /** The whole log so far. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  /**
   * Tries until the probe gives back true. Rejects with `WARREN_ENVIRONMENT_START` and the end of the log when the
   * process ends or the time is over.
   */
  async ready(
    probe: () => Promise<boolean> | boolean,
    signal?: AbortSignal,
    timeoutMs = 120_000,
  ): Promise<void> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      if (this.end !== undefined) throw this.#failed(`ended with ${this.end}`);
      try {
        if (await probe()) return;
      } catch {
        // Not there yet.
      }
      if (performance.now() > until) throw this.#failed(`was not ready after ${timeoutMs / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Asks the process itself to end, and waits until it has. It may take its time: at most `timeoutMs`, then it is killed. */
  async stop(timeoutMs = 30_000): Promise<void> {
    if (this.end !== undefined) return;
    if (this.#id === undefined || !isRunning(this.#id)) return this.kill();
    process.kill(this.#id.pid, 'SIGTERM');
    const timer = setTimeout(this.#killNow, timeoutMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** SIGKILL to it and all of its children, and waits until they have ended. */
  async kill(): Promise<void> {
    this.#killNow();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** Waits until `unshare` has made its child: then `#id` is the process that counts. */
  async #begun(): Promise<void> {
    const pid = this.#child.pid as number;
    while (this.end === undefined && this.#id === undefined) {
      const inner = hasNamespaces() ? childOf(pid) : pid;
      this.#id = inner === undefined ? undefined : processNow(inner);
      if (this.#id === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  readonly #killNow = (): void => {
    if (this.end !== undefined) return;
    // unshare waits for its child, and the child's end for that of all others in the namespace.
    if (this.#id === undefined || !end(this.#id)) this.#child.kill('SIGKILL');
  };

  #failed(what: string): EnvironmentError {
    const tail = this.log.trimEnd().split('\n').slice(-20).join('\n');
    return new EnvironmentError(
      'WARREN_ENVIRONMENT_START',
      `${this.name} ${what}. The end of its log:\n${tail}`,
    );
  }
}

function childOf(pid: number): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return child ? Number(child) : undefined;
  } catch {
    return undefined;
  }
}
