/** What comes from Debian packages onto this machine: a tool, or a single binary without an installation. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cached, cacheKey } from './cache.ts';
import { run, succeeds } from './command.ts';
import { hasNamespaces } from './contained.ts';
import { EnvironmentError } from './errors.ts';
import type { Report } from './progress.ts';
import { turn } from './turn.ts';

export interface Context {
  report: Report;
  signal?: AbortSignal | undefined;
}

const noninteractive = { DEBIAN_FRONTEND: 'noninteractive' };
let listsUpdated: Promise<unknown> | undefined;

/** `apt-get update`, once a process. */
function updateLists(context: Context): Promise<unknown> {
  listsUpdated ??= run('apt-get', ['update', '-q'], {
    part: 'debian',
    what: 'reading the package lists',
    env: noninteractive,
    ...context,
  });
  return listsUpdated;
}

/** Runs an apt-get command; a failure may only mean that the package lists are old or missing. Two at once would refuse each other. */
async function aptGet(args: readonly string[], what: string, context: Context, cwd = '/'): Promise<void> {
  using _ = await turn({
    of: 'apt-get',
    part: 'debian',
    waiting: 'waiting for apt-get, which is in use',
    ...context,
  });
  const options = { part: 'debian', what, cwd, env: noninteractive, ...context };
  try {
    await run('apt-get', args, options);
  } catch {
    context.signal?.throwIfAborted();
    await updateLists(context);
    await run('apt-get', args, options);
  }
}

/** Throws `WARREN_ENVIRONMENT_UNAVAILABLE` unless this is root on a Debian with the tools that every part needs. */
export function requireDebianRoot(part: string): void {
  const missing = [
    ...(process.getuid?.() === 0 ? [] : ['root']),
    ...(existsSync('/usr/bin/apt-get') ? [] : ['Debian (apt-get)']),
    ...(hasNamespaces() ? [] : ['setpriv and unshare, with the right to make namespaces']),
  ];
  if (missing.length === 0) return;
  throw new EnvironmentError(
    'WARREN_ENVIRONMENT_UNAVAILABLE',
    `${part}: no URL names one and no Docker engine runs; without Docker it needs ${missing.join(', ')}.`,
  );
}

/** A binary out of a Debian package, without installing it: no service is started, no other package is touched. */
export async function debianBinary(
  name: string,
  pattern: string,
  path: string,
  context: Context,
): Promise<string> {
  const [, codename] = /VERSION_CODENAME=(\w+)/.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
  const fetch = async (draft: string) => {
    context.report(name, `fetching Debian's package ${pattern}`);
    // The sandbox user of apt may not write here; it only complains.
    await aptGet(
      ['download', '-q', '-o', 'APT::Sandbox::User=root', pattern],
      `fetching ${pattern}`,
      context,
      draft,
    );
    for (const file of readdirSync(draft).filter((entry) => entry.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', file, '.'], {
        part: name,
        what: `unpacking ${file}`,
        cwd: draft,
        ...context,
      });
      rmSync(join(draft, file));
    }
    if (!existsSync(join(draft, path))) {
      throw new EnvironmentError('WARREN_ENVIRONMENT_BUILD', `${pattern} holds no ${path}`);
    }
  };
  const folder = await cached(name, cacheKey(pattern, codename ?? '', process.arch), fetch, context);
  return join(folder, path);
}

/** Installs a tool where its command is not there yet. */
export async function debianTool(command: string, context: Context): Promise<void> {
  if (await succeeds(command, ['--version'])) return;
  context.report('debian', `installing ${command}`);
  await aptGet(['install', '-y', '-q', '--no-install-recommends', command], `installing ${command}`, context);
}
