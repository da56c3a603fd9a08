/**
 * A process that cannot outlive us. As root it is the first process of PID, mount and IPC namespaces of its own, and is
 * killed by the kernel when we end, however we end; with it go its children, its mounts and its shared memory. Without
 * root, on Linux, the process itself is killed; elsewhere it is ended by us, or by the next run that finds its record.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { EnvironmentError } from './errors.ts';
import { onExit } from './exit.ts';
import { isRunning, processNow, type ProcessId } from './process-id.ts';

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

let prefix: readonly string[] | undefined;

/** What goes before a command on this machine. */
function containment(): readonly string[] {
  const works = (command: readonly string[]) =>
    spawnSync(command[0] as string, [...command.slice(1), 'true'], { stdio: 'ignore' }).status === 0;
  prefix ??= [[...dieWithParent, ...ownNamespaces], dieWithParent].find(works) ?? [];
  return prefix;
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
  readonly id: ProcessId;
  readonly #logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** How it ended; undefined while it runs. */
  end: string | undefined;

  private constructor(options: ContainedOptions, child: ChildProcess, pid: number) {
    this.name = options.name;
    this.#logFile = options.logFile;
    this.#child = child;
    this.id = processNow(pid) ?? { pid, startTime: 'ended' };
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.end = signal ?? `code ${code ?? '?'}`;
        atExit[Symbol.dispose]();
        resolve();
      });
    });
    const atExit = onExit(this.#killNow);
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
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', (cause) => {
          reject(new EnvironmentError('WARREN_ENVIRONMENT_START', `cannot start ${options.name}`, { cause }));
        });
      });
      return new Contained(options, child, child.pid as number);
    } finally {
      closeSync(log);
    }
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
    const init = this.#init();
    if (init === undefined) return this.kill();
    process.kill(init, 'SIGTERM');
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

  /** The process itself: in a namespace of its own the first one there, whose end is the end of all in there. */
  #init(): number | undefined {
    if (this.end !== undefined || !isRunning(this.id)) return undefined;
    const { pid } = this.id;
    if (!hasNamespaces()) return pid;
    const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
    return child > 0 ? child : undefined;
  }

  readonly #killNow = (): void => {
    if (this.end !== undefined) return;
    try {
      // unshare waits for its child, and the child's end for all others in the namespace.
      process.kill(this.#init() ?? this.id.pid, 'SIGKILL');
    } catch {
      this.#child.kill('SIGKILL');
    }
  };

  #failed(what: string): EnvironmentError {
    const tail = this.log.trimEnd().split('\n').slice(-20).join('\n');
    return new EnvironmentError(
      'WARREN_ENVIRONMENT_START',
      `${this.name} ${what}. The end of its log:\n${tail}`,
    );
  }
}
