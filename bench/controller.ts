/** Our reflector against client-node's informer: what it takes to know everything, each in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { median, numberOption } from './measure.ts';
import type { Bench, Options } from './measure.ts';

interface Taken {
  syncMs: number;
  rssMb: number;
  addedRssMb: number;
  liveMb: number;
}

/** Runs a file of controller/ in a process, up to its first line. */
async function firstLine(file: string, args: string[]): Promise<{ line: string } & AsyncDisposable> {
  const flags = ['--expose-gc', '--conditions=warren-source', '--disable-warning=ExperimentalWarning'];
  const path = join(import.meta.dirname, 'controller', file);
  const child = spawn(process.execPath, [...flags, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const [line] = await Promise.race([
    new Promise<string[]>((resolve) => createInterface(child.stdout).once('line', (text) => resolve([text]))),
    ended.then(() => []),
  ]);
  if (line === undefined) throw new Error(`${file} ended without a result`);
  return {
    line,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await ended;
    },
  };
}

async function* sync(options: Options): AsyncGenerator<Record<string, unknown>> {
  const count = String(numberOption(options, 'count', 10_000));
  const rounds = numberOption(options, 'rounds', 3);
  await using server = await firstLine('server.ts', [count]);
  const measure = async (which: string): Promise<Taken> => {
    await using client = await firstLine('client.ts', [which, server.line, count]);
    return JSON.parse(client.line) as Taken;
  };
  const ours: Taken[] = [];
  const theirs: Taken[] = [];
  for (let round = 0; round < rounds; round += 1) {
    ours.push(await measure('ours'));
    theirs.push(await measure('informer'));
  }
  const of = (all: Taken[]) => ({
    syncMs: median(all.map((one) => one.syncMs)),
    rssMb: median(all.map((one) => one.rssMb)),
    addedRssMb: median(all.map((one) => one.addedRssMb)),
    liveMb: median(all.map((one) => one.liveMb)),
  });
  const [us, them] = [of(ours), of(theirs)];
  yield {
    objects: Number(count),
    rounds,
    ours: us,
    theirs: them,
    ratio: Number((us.syncMs / them.syncMs).toFixed(3)),
    liveRatio: Number((us.liveMb / them.liveMb).toFixed(3)),
  };
}

export const benches: Record<string, Bench> = {
  sync: {
    about: "our reflector against client-node's informer",
    options: { count: 'objects; 10000', rounds: 'runs of each; 3' },
    run: sync,
  },
};
