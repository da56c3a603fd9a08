/**
 * The folder of one run, `<state>/run/<name>-<pid>`: the data, the logs and a record of every process it started. It is removed
 * at the end; what a killed run has left is found by its record and removed by the next one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Contained, type ContainedOptions } from './contained.ts';
import { onExit } from './exit.ts';
import { end, isRunning, thisProcess, type ProcessId } from './process-id.ts';
import type { Report } from './progress.ts';

interface RunRecord {
  owner: ProcessId;
  processes: (ProcessId & { name: string })[];
  /** Arguments of the docker commands that remove what it made. */
  docker?: (readonly string[])[];
}

const RECORD = 'processes.json';
let made = 0;

export class RunFolder implements AsyncDisposable {
  readonly path: string;
  readonly owner: ProcessId;
  readonly #record: RunRecord;
  readonly #keep: boolean;
  readonly #atExit: Disposable;

  /** Makes the folder, and tidies up after runs that were killed. `keep` leaves data and logs at the end. */
  constructor(stateDir: string, keep = false, name = 'environment') {
    this.owner = thisProcess();
    this.#keep = keep;
    this.#record = { owner: this.owner, processes: [] };
    this.path = join(stateDir, 'run', `${name}-${process.pid}${made === 0 ? '' : `-${made}`}`);
    made += 1;
    mkdirSync(join(this.path, 'logs'), { recursive: true, mode: 0o700 });
    this.#write();
    this.#atExit = onExit(this.#remove);
  }

  /** An empty folder for the data of a part. */
  data(name: string): string {
    const path = join(this.path, 'data', name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  logFile(name: string): string {
    return join(this.path, 'logs', `${name}.log`);
  }

  /** Starts a process that cannot outlive us, and records it. */
  async start(options: Omit<ContainedOptions, 'logFile'>): Promise<Contained> {
    const started = await Contained.start({ ...options, logFile: this.logFile(options.name) });
    if (started.id !== undefined) this.#record.processes.push({ name: options.name, ...started.id });
    this.#write();
    return started;
  }

  /** Records how containers are removed, before they are made. */
  undoneBy(dockerArguments: readonly string[]): void {
    (this.#record.docker ??= []).push(dockerArguments);
    this.#write();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#atExit[Symbol.dispose]();
    this.#remove();
    return Promise.resolve();
  }

  #write(): void {
    writeFileSync(join(this.path, RECORD), JSON.stringify(this.#record));
  }

  readonly #remove = (): void => {
    // Without its record, no later run takes it for the rest of a killed one.
    rmSync(this.#keep ? join(this.path, RECORD) : this.path, { recursive: true, force: true, maxRetries: 3 });
  };
}

/** The processes whose runs of this name go on, or are about to. */
export function owners(stateDir: string, name: string): ProcessId[] {
  const runs = join(stateDir, 'run');
  return (existsSync(runs) ? readdirSync(runs) : [])
    .filter((folder) => folder.startsWith(`${name}-`))
    .flatMap((folder) => readRecord(join(runs, folder, RECORD))?.owner ?? [])
    .filter((owner) => isRunning(owner));
}

/** Ends what killed runs have left running, and removes their folders. */
export async function tidyUp(
  stateDir: string,
  report: Report,
  docker: (args: readonly string[]) => Promise<void>,
): Promise<void> {
  const runs = join(stateDir, 'run');
  if (!existsSync(runs)) return;
  for (const name of readdirSync(runs)) {
    const folder = join(runs, name);
    const record = readRecord(join(folder, RECORD));
    if (record === undefined || isRunning(record.owner)) continue;
    for (const left of stale(record)) {
      if (end(left)) report('environment', `ended ${left.name} (process ${left.pid}), left by a killed run`);
    }
    for (const args of record.docker ?? []) await docker(args);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The recorded processes that are still those that were recorded, where their owner is not. */
export function stale(
  record: RunRecord,
  running: (id: ProcessId) => boolean = (id) => isRunning(id),
): RunRecord['processes'] {
  return running(record.owner) ? [] : record.processes.filter((each) => running(each));
}

function readRecord(file: string): RunRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as RunRecord;
  } catch {
    return undefined;
  }
}
