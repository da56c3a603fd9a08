/** For tests: the operator as a process of its own, which can be killed. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..', '..');
const FLAGS = ['--conditions=warren-source', '--disable-warning=ExperimentalWarning'];

export interface OperatorProcess extends AsyncDisposable {
  /** Everything that it has logged, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** What it wrote that is no line of the log. */
  readonly output: string;
  /** `code 0`, `SIGKILL`. */
  readonly ended: Promise<string>;
  kill(signal: NodeJS.Signals): Promise<string>;
}

export function spawnOperator(args: readonly string[], env: Record<string, string> = {}): OperatorProcess {
  const child = spawn(process.execPath, [...FLAGS, 'operator/src/main.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, OPERATOR_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: Record<string, unknown>[] = [];
  let output = '';
  let rest = '';
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('{')) log.push(JSON.parse(line) as Record<string, unknown>);
      else output += `${line}\n`;
    }
  });
  const ended = new Promise<string>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? `code ${code ?? '?'}`)),
  );
  const kill = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return ended;
  };
  return {
    log,
    get output() {
      return output;
    },
    ended,
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill('SIGKILL');
    },
  };
}

/** It has begun to work: the only one, or the leader. */
export function isWorking({ log }: OperatorProcess): boolean {
  return log.some(({ msg }) => msg === 'controller started');
}
