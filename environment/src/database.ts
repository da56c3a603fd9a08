/** A MongoDB-compatible database of our own: FerretDB in front of PostgreSQL with DocumentDB. */
import { join } from 'node:path';
import { mongo } from 'mongoose';
import { run } from './command.ts';
import type { Context } from './debian.ts';
import { goBinaries } from './go.ts';
import { choosePort, freePort } from './ports.ts';
import { databaseTemplate, inRoot, rootFileSystem } from './root-file-system.ts';
import type { RunFolder } from './run-folder.ts';

export interface Database extends AsyncDisposable {
  /** `mongodb://127.0.0.1:port/` */
  url: string;
}

export async function startDatabase(folder: RunFolder, context: Context): Promise<Database> {
  const [root, binaries] = await Promise.all([
    rootFileSystem(context),
    goBinaries({ module: 'ferretdb', sources: ['main.go'], packages: ['.'], about: '1 min', ...context }),
  ]);
  const started = performance.now();
  const port = await choosePort('mongodb', 27017, context.report);
  const postgresPort = await freePort();
  const data = folder.data('postgresql');
  // cp keeps the owner and the modes, which PostgreSQL insists on.
  await run('cp', ['-a', join(root, databaseTemplate), data], {
    part: 'mongodb',
    what: 'copying the database',
    ...context,
  });
  await using stack = new AsyncDisposableStack();
  const postgres = await folder.start({
    name: 'postgresql',
    command: postgresCommand(root, data, postgresPort),
    env: { LANG: 'C.UTF-8' },
  });
  stack.use(postgres);
  await postgres.ready(
    () => postgres.log.includes('database system is ready to accept connections'),
    context.signal,
  );
  const ferretdb = stack.use(
    await folder.start({
      name: 'ferretdb',
      command: [
        join(binaries, 'ferretdb'),
        ...['-listen', `127.0.0.1:${port}`],
        ...['-postgresql', `postgres://postgres@127.0.0.1:${postgresPort}/postgres`],
        ...['-state', folder.data('ferretdb')],
      ],
    }),
  );
  const url = `mongodb://127.0.0.1:${port}/`;
  await ferretdb.ready(() => answers(url), context.signal);
  context.report(
    'mongodb',
    `ready on port ${port} after ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  const owned = stack.move();
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function postgresCommand(root: string, data: string, port: number): string[] {
  const [shell, args] = inRoot(root, { user: 'postgres', binds: { 'var/lib/postgresql': data } }, [
    '/usr/lib/postgresql/18/bin/postgres',
    ...['-D', '/var/lib/postgresql/template', '-c', `port=${port}`, '-c', 'unix_socket_directories='],
  ]);
  return [shell, ...args];
}

async function answers(url: string): Promise<boolean> {
  await using client = new mongo.MongoClient(url, { serverSelectionTimeoutMS: 2_000 });
  await client.db('admin').command({ ping: 1 });
  return true;
}
