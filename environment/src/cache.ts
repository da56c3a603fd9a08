/**
 * What takes minutes to make is made once a machine. An entry is built beside its place and renamed into it, so that a
 * killed build is never taken for a whole one; its name holds a key of all that it was made from. While one process builds
 * it, the others wait.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { isRunning, thisProcess } from './process-id.ts';
import type { Report } from './progress.ts';
import { turn } from './turn.ts';

/** `WARREN_CACHE_DIR`, else `$XDG_CACHE_HOME/warren`, else `~/.cache/warren`: one place for all clones on the machine. */
export const cacheDir = (env: NodeJS.ProcessEnv = process.env): string =>
  env['WARREN_CACHE_DIR']
    ? resolve(env['WARREN_CACHE_DIR'])
    : join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'warren');

/** Twelve hex digits that follow from the inputs, in their order. */
export function cacheKey(...inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input);
  return hash.digest('hex').slice(0, 12);
}

export interface CachedOptions {
  report: Report;
  /** Ends the wait for another process's build; it is for `build` to end its own. */
  signal?: AbortSignal | undefined;
  dir?: string;
}

/**
 * The folder `<name>-<key>`, made by `build` where it is not there yet. `build` gets an empty folder to fill; if it
 * rejects, nothing is kept, and the next process that waits tries itself.
 */
export async function cached(
  name: string,
  key: string,
  build: (folder: string) => Promise<void>,
  { report, signal, dir = cacheDir() }: CachedOptions,
): Promise<string> {
  const entry = join(dir, `${name}-${key}`);
  if (existsSync(entry)) return entry;
  mkdirSync(dir, { recursive: true });
  const waiting = `waiting for another process that builds ${name}`;
  using _ = await turn({ of: entry, part: name, waiting, report, signal });
  if (existsSync(entry)) return entry;
  removeUnfinished(dir);
  const { pid, startTime } = thisProcess();
  const draft = join(dir, `${name}-${key}.${pid}.${startTime}.unfinished`);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft);
  try {
    await build(draft);
    if (!existsSync(entry)) renameSync(draft, entry);
  } catch (error) {
    // Two builds at once, where there are no turns: the first one wins, and the second uses its result.
    if (!existsSync(entry)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return entry;
}

/** Removes what a killed build has left. */
function removeUnfinished(dir: string): void {
  for (const name of readdirSync(dir)) {
    const [, pid, startTime] = /\.(\d+)\.(\d*)\.unfinished$/.exec(name) ?? [];
    if (pid === undefined || startTime === undefined) continue;
    if (!isRunning({ pid: Number(pid), startTime }))
      rmSync(join(dir, name), { recursive: true, force: true });
  }
}
