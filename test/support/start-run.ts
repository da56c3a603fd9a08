/** `npm start` as a child, on a virtual host and databases of its own, and what it left behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, testBroker, testEndpoints } from '@warren/environment/testing';
import { testDatabases } from './databases.ts';
import { samples } from './test-shop.ts';

const root = join(import.meta.dirname, '..', '..');

export interface StartRunOptions {
  /** What a person types, or the script itself, to be killed. */
  readonly how: 'npm' | 'node';
  readonly args?: readonly string[];
  /** What is done in its state folder before. */
  readonly prepare?: (folders: { stateDir: string }) => Promise<void>;
  /** A copy of the repository to run in, with the state where a person has it; otherwise this one, with a state elsewhere. */
  readonly folder?: string;
}

export interface StartRun extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Everything it wrote so far. */
  output(): string;
  /** Waits until its output has this in it; rejects when it ends before. */
  says(text: string | RegExp, timeoutMs?: number): Promise<void>;
  /** `code 0`, `SIGKILL`, … */
  ended(): Promise<string>;
  /** Command lines of the processes that it started and that still run, itself not counted. */
  left(): Promise<string[]>;
  /** What it has in its environment beside ours. */
  readonly environment: Readonly<Record<string, string>>;
  readonly stateDir: string;
  readonly mongodbUrl: string;
  readonly databasePrefix: string;
}

export async function startRun({ how, args = [], prepare, folder }: StartRunOptions): Promise<StartRun> {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const databases = stack.use(await testDatabases());
  const stateDir =
    folder === undefined ? await mkdtemp(join(tmpdir(), 'warren-start-')) : join(folder, '.local');
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const ownSamples = folder === undefined ? join(stateDir, 'samples') : join(folder, 'k8s', 'samples');
  if (folder === undefined) await cp(samples, ownSamples, { recursive: true });
  await prepare?.({ stateDir });

  const [command, commandArgs] =
    how === 'npm' ? ['npm', ['start', '--', ...args]] : [process.execPath, startScript(args)];
  const environment = {
    RABBITMQ_URL: broker.amqpUrl,
    RABBITMQ_MANAGEMENT_URL: broker.managementUrl,
    MONGODB_URL: testEndpoints().mongodb,
    KUBECONFIG: '',
    WARREN_ENDPOINTS: join(stateDir, 'endpoints.json'),
    WARREN_DATABASE_PREFIX: databases.prefix,
    WARREN_STATE_DIR: stateDir,
    WARREN_SAMPLES: ownSamples,
  };
  const child = spawn(command, commandArgs, {
    cwd: folder ?? root,
    env: {
      ...process.env,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let written = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (written += text));
  }
  const exit = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? `code ${code ?? '?'}`));
  });
  const left = () => processesWith(`WARREN_STATE_DIR=${stateDir}`);
  stack.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exit;
    await eventually(async () => (await left()).length === 0);
  });
  const owned = stack.move();
  return {
    child,
    environment,
    stateDir,
    mongodbUrl: databases.url,
    databasePrefix: databases.prefix,
    output: () => written,
    says: async (text, timeoutMs = 60_000) => {
      await eventually(
        () => {
          if (typeof text === 'string' ? written.includes(text) : text.test(written)) return true;
          if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}:\n${written}`);
          throw new Error(`it has said:\n${written}`);
        },
        { timeoutMs, intervalMs: 50 },
      );
    },
    ended: () => exit,
    left,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The arguments to Node. */
export function startScript(args: readonly string[] = []): string[] {
  return ['--conditions=warren-source', '--disable-warning=ExperimentalWarning', 'scripts/start.ts', ...args];
}

/** Processes that were started with this in their environment. */
async function processesWith(variable: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (!environ.split('\0').includes(variable)) continue;
    found.push((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' '));
  }
  return found;
}
