/** Debian root file systems with a broker, and with the database, each made once, and how to run something in one. */
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, cacheKey } from './cache.ts';
import { run } from './command.ts';
import { contained } from './contained.ts';
import { debianTool, type Context } from './debian.ts';

interface Contents {
  /** Of Debian. */
  suite: string;
  packages: readonly string[];
  /** A script that runs in it at the end of its making. */
  finish?: { what: string; script: string };
}

// What was built once stays; a new format number builds anew.
const FORMAT = '1';

/** Where in the root file system an initialized, empty database lies, to be copied. */
export const databaseTemplate = 'var/lib/postgresql/template';

/** What runs in the root file system, once, to make that database. */
const makeDatabase = `
set -e
bin=/usr/lib/postgresql/18/bin data=/var/lib/postgresql/template
as() { setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }
install -d -o postgres -g postgres /run/postgresql
as $bin/initdb --pgdata=$data --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >&2
cat >>$data/postgresql.conf <<END
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
cron.database_name = 'postgres'
listen_addresses = '127.0.0.1'
unix_socket_directories = '/run/postgresql'
max_connections = 300
# Thrown away with the environment: nothing has to survive a power cut.
fsync = off
synchronous_commit = off
full_page_writes = off
END
as $bin/pg_ctl start --wait --silent --pgdata=$data --log=/tmp/log -o '-c listen_addresses=' || { cat /tmp/log >&2; exit 1; }
as $bin/psql --host=/run/postgresql --quiet --command='create extension documentdb cascade' >&2
as $bin/pg_ctl stop --wait --silent --pgdata=$data --mode=fast
`;

/** By the version of RabbitMQ in it. */
const contents = {
  // The suite is a moving one, since only it has RabbitMQ 4.3 and DocumentDB.
  '4.3': {
    suite: 'sid',
    packages: ['postgresql-18-documentdb', 'rabbitmq-server'],
    finish: { what: 'initializing the database with its extension', script: makeDatabase },
  },
  '4.0': { suite: 'trixie', packages: ['rabbitmq-server'] },
} satisfies Record<string, Contents>;

/** The versions of RabbitMQ that Debian has. */
export type DebianBroker = keyof typeof contents;
export const debianBrokers = Object.keys(contents) as readonly DebianBroker[];

const made = new Map<DebianBroker, Promise<string>>();

/**
 * The root file system with a version of RabbitMQ, made in less than a minute where it is not cached: its folder. The one with
 * 4.3 also has PostgreSQL 18 with DocumentDB.
 */
export function rootFileSystem(context: Context, broker: DebianBroker = '4.3'): Promise<string> {
  let rootfs = made.get(broker);
  if (rootfs === undefined) {
    rootfs = buildRootFileSystem(context, contents[broker]).catch((error: unknown) => {
      made.delete(broker);
      throw error;
    });
    made.set(broker, rootfs);
  }
  return rootfs;
}

async function buildRootFileSystem(context: Context, { suite, packages, finish }: Contents): Promise<string> {
  const key = cacheKey(FORMAT, suite, ...packages, ...(finish ? [finish.script] : []), process.arch);
  const make = async (draft: string) => {
    const started = performance.now();
    await debianTool('mmdebstrap', context);
    const root = join(draft, 'root');
    context.report('debian', `making a root file system with ${packages.join(' and ')} (about 40 s)`);
    const [command, args] = contained(
      ...['mmdebstrap', '--variant=apt', '--mode=root', '--aptopt=Acquire::Check-Valid-Until "false"'],
      // Neither services nor caches are wanted in it.
      ...['--dpkgopt=path-exclude=/usr/share/doc/*', '--dpkgopt=path-exclude=/usr/share/man/*'],
      ...[`--include=${packages.join(',')}`, suite, root],
    );
    await run(command, args, { part: 'debian', what: 'making the root file system', ...context });
    if (finish !== undefined) {
      context.report('debian', finish.what);
      const [shell, shellArgs] = inRoot(root, { writable: true }, ['sh', '-c', finish.script]);
      await run(...contained(shell, ...shellArgs), { part: 'debian', what: finish.what, ...context });
    }
    rmSync(join(root, 'var/cache/apt/archives'), { recursive: true, force: true });
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    const found = versions(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8'), packages);
    context.report('debian', `made the root file system in ${seconds} s: ${found.join(', ')}`);
  };
  return join(await cached('rootfs', key, make, context), 'root');
}

export interface RootOptions {
  /** Only while it is being built; else the cached files are read-only. */
  writable?: boolean;
  /** Folders of the host over folders of the root file system. */
  binds?: Record<string, string>;
  /** The user to be, by name, and the working directory. */
  user?: string;
}

/**
 * The command that runs another one inside the root file system. It mounts, so it must run in a mount namespace of its
 * own (`contained`), where all mounts end with it.
 */
export function inRoot(root: string, options: RootOptions, command: readonly string[]): [string, string[]] {
  const { writable = false, binds = {}, user } = options;
  const script = [
    'set -e; root=$1; shift',
    'mount --bind "$root" "$root"',
    ...(writable ? [] : ['mount -o remount,bind,ro "$root"']),
    'mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/dev/shm"',
    'mount -t tmpfs tmpfs "$root/run"; mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"',
    'while [ "$1" != -- ]; do mount --bind "$1" "$root/$2"; shift 2; done; shift',
    'exec chroot "$root" "$@"',
  ].join('\n');
  const become =
    user === undefined ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--'];
  // To become another user clears the signal that ends a process with its parent; so it is asked for again.
  const dieWithParent = ['setpriv', '--pdeathsig', 'KILL', '--'];
  const mounts = Object.entries(binds).flatMap(([target, source]) => [source, target]);
  return ['sh', ['-c', script, 'in-root', root, ...mounts, '--', ...become, ...dieWithParent, ...command]];
}

/** The number of a user inside the root file system, for files that are made outside for it. */
export async function userIn(root: string, user: string): Promise<{ uid: number; gid: number }> {
  const users = (await readFile(join(root, 'etc/passwd'), 'utf8')).split('\n');
  const line = users.find((entry) => entry.startsWith(`${user}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** `name version` of packages, out of dpkg's status file. */
export function versions(status: string, packages: readonly string[]): string[] {
  return status
    .split('\n\n')
    .map((entry) => [/^Package: (.+)$/m.exec(entry)?.[1] ?? '', /^Version: (.+)$/m.exec(entry)?.[1]])
    .flatMap(([name, version]) => (packages.includes(name ?? '') ? [`${name ?? ''} ${version ?? ''}`] : []));
}
