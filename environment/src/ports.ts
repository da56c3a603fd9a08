/** Ports: the preferred one where it is free, else another, and who holds it. */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Report } from './progress.ts';

export interface PortHolder {
  pid: number;
  command: string;
}

/**
 * A port on 127.0.0.1 that was free a moment ago: the preferred one, or else any; `report` hears when it was moved, and
 * why. `taken` holds what was given out already and is not yet listened on.
 */
export async function choosePort(
  part: string,
  preferred: number,
  report: Report,
  taken: Set<number> = givenOut,
): Promise<number> {
  if (!taken.has(preferred) && (await isFree(preferred))) {
    taken.add(preferred);
    return preferred;
  }
  for (;;) {
    const port = await anyPort();
    if (taken.has(port)) continue;
    taken.add(port);
    report(part, `port ${preferred} is taken by ${describe(holderOf(preferred))}; using ${port} instead`);
    return port;
  }
}

/** Any free port, for what nobody looks for by its number. */
export async function freePort(taken: Set<number> = givenOut): Promise<number> {
  for (;;) {
    const port = await anyPort();
    if (taken.has(port)) continue;
    taken.add(port);
    return port;
  }
}

const givenOut = new Set<number>();

const describe = (holder: PortHolder | undefined): string =>
  holder ? `process ${holder.pid} (${holder.command})` : 'another process';

/** Free on the loopback address and on all addresses: a listener on either would take our clients. */
async function isFree(port: number): Promise<boolean> {
  return (await listens(port, '127.0.0.1')) && (await listens(port));
}

function listens(port: number, host?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

// The one port of this range that fetch refuses to call.
const FORBIDDEN = 10_080;

/**
 * A free port below those that the kernel gives to clients. One of those could go to a client while its server is away
 * for a restart, even to one that tries to reach that very server, and so connects to itself.
 */
async function anyPort(): Promise<number> {
  const [lowest = '32768'] = read('/proc/sys/net/ipv4/ip_local_port_range').split(/\s+/);
  const end = Math.max(Number(lowest) || 32_768, 12_000);
  for (;;) {
    const port = randomInt(10_000, end);
    if (port !== FORBIDDEN && (await isFree(port))) return port;
  }
}

/** Who listens on a port, as far as /proc lets us see. */
export function holderOf(port: number): PortHolder | undefined {
  const inodes = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeners(read(table), port)),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of entries(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return { pid: Number(pid), command: commandOf(pid) };
    }
  }
  return undefined;
}

/** The inodes of the sockets that listen on a port, out of the text of /proc/net/tcp. */
export function listeners(table: string, port: number): string[] {
  const LISTEN = '0A';
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, , state]) => state === LISTEN && Number.parseInt(local?.split(':')[1] ?? '', 16) === port,
    )
    .flatMap((fields) => fields[9] ?? []);
}

function commandOf(pid: string): string {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return command.length > 48 ? `${command.slice(0, 45)}...` : command;
}

const orElse = <T>(fallback: T, get: () => T): T => {
  try {
    return get();
  } catch {
    return fallback;
  }
};
const read = (path: string) => orElse('', () => readFileSync(path, 'utf8'));
const link = (path: string) => orElse('', () => readlinkSync(path));
const entries = (path: string) => orElse<string[]>([], () => readdirSync(path));
