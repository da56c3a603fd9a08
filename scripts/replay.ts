/**
 * `npm run replay -- <service>`: drops the read models of a service and makes them again out of its own log.
 *
 * The service itself does it (`main.ts --replay`), on the database that MONGODB_URL names, else on the one that it has in
 * the environment that runs. It may go on running meanwhile.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { currentEndpoints, EnvironmentError } from '@warren/environment';
import { databaseUrl, serviceNames } from './shop.ts';

const USAGE = `npm run replay -- <service>: rebuilds the read models of a service out of its own log

  service    one of ${serviceNames.join(', ')}

environment
  MONGODB_URL               the database of the service; else the one of the environment that runs
  WARREN_DATABASE_PREFIX    before the name of the service's database, as for npm start
`;

const [name, ...others] = process.argv.slice(2);

if (name === '--help' || name === '-h') {
  process.stdout.write(USAGE);
} else if (!isService(name) || others.length > 0) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  process.exitCode = await replay(name);
}

function isService(text: string | undefined): text is (typeof serviceNames)[number] {
  return serviceNames.some((known) => known === text);
}

async function replay(service: string): Promise<number> {
  let mongodbUrl: string;
  try {
    const prefix = process.env['WARREN_DATABASE_PREFIX'] ?? '';
    mongodbUrl = process.env['MONGODB_URL'] ?? databaseUrl(currentEndpoints().mongodb, `${prefix}${service}`);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  const main = join(import.meta.dirname, '..', 'services', service, 'src/main.ts');
  // Ctrl-C reaches the whole process group: the child stops by itself, and its end is waited for here.
  process.on('SIGINT', () => undefined);
  const child = spawn(
    process.execPath,
    ['--conditions=warren-source', '--disable-warning=ExperimentalWarning', main, '--replay'],
    {
      stdio: 'inherit',
      env: { ...process.env, LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'warn', MONGODB_URL: mongodbUrl },
    },
  );
  const [code] = (await once(child, 'close')) as [number | null];
  return code ?? 1;
}
