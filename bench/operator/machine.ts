/** What processes have used, out of /proc: it stays true while others use the machine too. */
import { readdir, readFile } from 'node:fs/promises';
import { readEndpoints } from '@warren/environment';

/** Of Linux, everywhere that Node runs. */
const TICKS_PER_SECOND = 100;

export interface Usage {
  cpuSeconds: number;
  rssMb: number;
}

/** Zeros where there is no such process, or no /proc. */
export async function usageOf(pid: number): Promise<Usage> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
  ]);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0;
  return {
    cpuSeconds: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND,
    rssMb: Math.round((Number(rss) * 1_024) / 1e6),
  };
}

const PARTS = { apiServer: 'kube-apiserver', etcd: 'etcd', broker: 'beam.smp' };
export type Part = keyof typeof PARTS;

/** Processes of the environment that the bench runs on, by part; empty for what is elsewhere. */
export async function partsOfEnvironment(): Promise<Map<Part, number>> {
  const owner = readEndpoints()?.owner;
  const found = new Map<Part, number>();
  if (owner === undefined) return found;
  const pids = (await readdir('/proc').catch(() => [])).map(Number).filter(Number.isInteger);
  const stats = await Promise.all(
    pids.map(async (pid) => ({ pid, stat: await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '') })),
  );
  const children = new Map<number, { pid: number; name: string }[]>();
  for (const { pid, stat } of stats) {
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), { pid, name }]);
  }
  const waiting = [owner.pid];
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    for (const { pid, name } of children.get(parent) ?? []) {
      for (const [part, command] of Object.entries(PARTS))
        // The kernel cuts names off at 15 characters.
        if (name === command.slice(0, 15)) found.set(part as Part, pid);
      waiting.push(pid);
    }
  }
  return found;
}

/** CPU seconds of the parts, and of the bench itself, from now until it is called. */
export async function cpuMeter(): Promise<() => Promise<Partial<Record<Part | 'bench', number>>>> {
  const parts = new Map<Part | 'bench', number>([...(await partsOfEnvironment()), ['bench', process.pid]]);
  const read = async () =>
    Promise.all([...parts].map(async ([part, pid]) => [part, (await usageOf(pid)).cpuSeconds] as const));
  const before = new Map(await read());
  return async () =>
    Object.fromEntries(
      (await read()).map(([part, now]) => [part, Number((now - (before.get(part) ?? now)).toFixed(1))]),
    );
}
