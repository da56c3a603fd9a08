/** What `npm run env:up` starts ends with it, however it ends. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { undo } from './docker.ts';
import { readEndpoints, repositoryRoot, type Endpoints } from './endpoints.ts';
import { eventually } from './eventually.ts';
import { isRunning, processNow, type ProcessId } from './process-id.ts';
import { silent } from './progress.ts';
import { accepts } from './rabbitmq.ts';
import { tidyUp } from './run-folder.ts';

let state: string;
let up: ChildProcess;
let output = '';

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'warren-lifetime-'));
  output = '';
});

afterEach(async () => {
  up.kill('SIGKILL');
  await tidyUp(state, silent, undo);
  rmSync(state, { recursive: true, force: true });
});

/** `npm run env:up` in a state folder of its own, with no part given. */
function launch(): void {
  const {
    RABBITMQ_URL: _r,
    MONGODB_URL: _m,
    KUBECONFIG: _k,
    WARREN_ENDPOINTS: _w,
    ...inherited
  } = process.env;
  const env = { ...inherited, WARREN_STATE_DIR: state, COMPOSE_PROJECT_NAME: 'warren-lifetime-test' };
  const node = [process.execPath, '--conditions=warren-source', 'scripts/env-up.ts', '--no-kubernetes'];
  // It must not outlive a test that is killed, either.
  const [command, ...args] =
    process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', ...node] : node;
  up = spawn(command as string, args, { cwd: repositoryRoot, env, stdio: ['ignore', 'ignore', 'pipe'] });
  up.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text));
}

async function start(): Promise<Endpoints> {
  launch();
  const endpoints = eventually(() => readEndpoints(join(state, 'endpoints.json')), { timeoutMs: 50_000 });
  const failed = once(up, 'exit').then(() => Promise.reject(new Error(output)));
  failed.catch(() => undefined);
  return Promise.race([endpoints, failed]);
}

/** All processes that descend from it now. */
function descendants(pid: number): ProcessId[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return [{ pid: Number(name), parent: Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) }];
      } catch {
        return [];
      }
    });
  const below = (root: number): number[] =>
    parents.filter(({ parent }) => parent === root).flatMap((child) => [child.pid, ...below(child.pid)]);
  return below(pid).flatMap((each) => processNow(each) ?? []);
}

const listening = async ({ rabbitmq, mongodb }: Endpoints) => {
  const open = await Promise.all(
    [rabbitmq.amqp, rabbitmq.management, mongodb].map((url) => accepts(Number(new URL(url).port))),
  );
  return open.filter(Boolean).length;
};

describe('what an environment has started', () => {
  test('ends with it when it is killed, mounts included; the next one takes its folder away', async () => {
    const endpoints = await start();
    expect(await listening(endpoints)).toBe(3);
    const started = descendants(up.pid!);
    up.kill('SIGKILL');
    await once(up, 'exit');
    // Containers need the next run to be ended; processes do not.
    const folders = join(state, 'run');
    expect(readdirSync(folders)).toHaveLength(1);
    if (!output.includes('docker')) await eventually(() => started.every((each) => !isRunning(each)));
    expect(readEndpoints(join(state, 'endpoints.json'))).toBeUndefined();
    await tidyUp(state, silent, undo);
    await eventually(async () => (await listening(endpoints)) === 0);
    expect(started.filter((each) => isRunning(each))).toEqual([]);
    expect(readdirSync(folders)).toEqual([]);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(state);
  });

  test('ends with it in order when it is asked to, and nothing is left', async () => {
    const endpoints = await start();
    const started = descendants(up.pid!);
    expect(started.length).toBeGreaterThan(0);
    up.kill('SIGTERM');
    const [code] = (await once(up, 'exit')) as [number];
    expect(code).toBe(0);
    expect(started.filter((each) => isRunning(each))).toEqual([]);
    expect(await listening(endpoints)).toBe(0);
    expect(existsSync(join(state, 'endpoints.json'))).toBe(false);
    expect(readdirSync(join(state, 'run'))).toEqual([]);
  });

  test('ends with it also when it is asked to before all is up', async () => {
    launch();
    const record = () => {
      const [run] = readdirSync(join(state, 'run'));
      const { processes } = JSON.parse(readFileSync(join(state, 'run', run!, 'processes.json'), 'utf8')) as {
        processes: ProcessId[];
      };
      return processes.length > 0 && processes;
    };
    const processes = await eventually(record, { intervalMs: 2 });
    up.kill('SIGINT');
    await once(up, 'exit');
    expect(processes.filter((each) => isRunning(each))).toEqual([]);
    expect(readdirSync(join(state, 'run'))).toEqual([]);
  });
});
