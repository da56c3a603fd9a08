/** The operator as it runs in its image: compiled, a process of its own, looked at through its metrics and /proc. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { usageOf } from './machine.ts';
import type { Usage } from './machine.ts';
import { pause, seconds } from './measuring.ts';
import { metricsOf, sum } from './metrics.ts';
import type { Sample } from './metrics.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** Answering with those of all subscriptions is work that nobody else makes ten times a second. */
const ASKED_AGAIN_AND_AGAIN = [
  'workqueue_depth',
  'controller_runtime_active_workers',
  'controller_runtime_reconcile_total',
];

export interface OperatorOptions {
  kubeconfig: string;
  namespace: string;
  resyncSeconds?: number;
}

export interface Counts {
  /** Without those of its Lease. */
  clusterWrites: number;
  clusterReads: number;
  brokerWrites: number;
  brokerReads: number;
  failedReconciles: number;
  reconciles: number;
}

export interface MeasuredOperator extends AsyncDisposable {
  /** Seconds from the start of the process until it said that it is up. */
  readonly upSeconds: number;
  usage(): Promise<Usage>;
  counts(): Promise<Counts>;
  /** Resolves when so many subscriptions have been reconciled, and none waits for it. */
  settled(reconciles: number): Promise<void>;
  stop(): Promise<void>;
}

export async function build(): Promise<void> {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '--build', 'operator'], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error('the operator does not compile');
}

export async function startOperator(options: OperatorOptions): Promise<MeasuredOperator> {
  const { kubeconfig, namespace, resyncSeconds = 15 } = options;
  const begun = performance.now();
  const args = ['--kubernetes', '--namespace', namespace, '--resync', String(resyncSeconds)];
  const main = join(ROOT, 'operator', 'dist', 'main.js');
  const image = await imageSettings();
  const child = spawn(process.execPath, [...image.flags, main, ...args], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...image.env,
      KUBECONFIG: kubeconfig,
      OPERATOR_NAMESPACE: namespace,
      OPERATOR_PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const lines = createInterface(child.stdout);
  const port = await new Promise<number>((resolve, reject) => {
    lines.on('line', (line) => {
      const found = line.includes('"port":') ? (JSON.parse(line) as { port: number }).port : undefined;
      if (found !== undefined) resolve(found);
    });
    ended.then(() => reject(new Error('the operator ended before it was up')), reject);
  });
  const upSeconds = seconds(begun);
  const counts = async () => countsOf(await metricsOf(port));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  return {
    upSeconds,
    usage: () => usageOf(child.pid ?? 0),
    counts,
    settled: async (reconciles) => {
      for (;;) {
        const metrics = await metricsOf(port, ASKED_AGAIN_AND_AGAIN);
        const waiting = sum(metrics, 'workqueue_depth') + sum(metrics, 'controller_runtime_active_workers');
        if (countsOf(metrics).reconciles >= reconciles && waiting === 0) return;
        await pause(100);
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** How the image starts Node. */
async function imageSettings(): Promise<{ flags: string[]; env: Record<string, string> }> {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
  const [, flags] = /^ENTRYPOINT \["node",(.*) "dist\/main.js"\]$/m.exec(dockerfile) ?? [];
  const [, malloc] = /^ENV (MALLOC_.*)$/m.exec(dockerfile) ?? [];
  if (flags === undefined || malloc === undefined)
    throw new Error('the Dockerfile does not tell how the operator is started');
  return {
    flags: JSON.parse(`[${flags.replace(/,\s*$/, '')}]`) as string[],
    env: Object.fromEntries(malloc.split(' ').map((setting) => setting.split('=') as [string, string])),
  };
}

function countsOf(samples: readonly Sample[]): Counts {
  const requests = (...having: RegExp[]) => sum(samples, 'rest_client_requests_total', ...having);
  const broker = (...having: RegExp[]) => sum(samples, 'warren_broker_requests_total', ...having);
  const reconciles = (...having: RegExp[]) =>
    sum(samples, 'controller_runtime_reconcile_total', /controller="eventsubscription"/, ...having);
  return {
    // Only the Lease is replaced (PUT); everything else is created, applied, patched or deleted.
    clusterWrites: requests(/method="(POST|PATCH|DELETE)"/),
    clusterReads: requests(/method="GET"/),
    brokerWrites: broker(/method="(PUT|POST|DELETE|AMQP)"/),
    brokerReads: broker(/method="GET"/),
    failedReconciles: reconciles(/result="error"/),
    reconciles: reconciles(),
  };
}
