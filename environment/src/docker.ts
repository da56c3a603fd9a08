/**
 * RabbitMQ and MongoDB as containers of `compose.yaml`, where a Docker engine runs.
 *
 * The project's own machine has no engine, so this path is not covered by its tests.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { repositoryRoot, type Endpoints } from './endpoints.ts';
import { choosePort } from './ports.ts';
import { silent } from './progress.ts';
import type { RunFolder } from './run-folder.ts';

const composeFile = join(repositoryRoot, 'compose.yaml');

export interface Composed extends AsyncDisposable {
  rabbitmq?: Endpoints['rabbitmq'];
  mongodb?: string;
}

/** Whether an engine answers and Compose is installed. `WARREN_DOCKER=0` says no. */
export async function hasDocker(): Promise<boolean> {
  if (process.env['WARREN_DOCKER'] === '0') return false;
  return (await succeeds('docker', ['version'])) && (await succeeds('docker', ['compose', 'version']));
}

/** Starts what is not given, in a project of its own, and waits until it is healthy. */
export async function startComposed(
  folder: RunFolder,
  given: Partial<Endpoints>,
  context: Context,
): Promise<Composed> {
  const project = `warren-${createHash('sha256').update(folder.path).digest('hex').slice(0, 8)}`;
  const services = [...(given.rabbitmq ? [] : ['rabbitmq']), ...(given.mongodb ? [] : ['mongodb'])];
  const port = (part: string, preferred: number) => choosePort(part, preferred, context.report);
  const ports = {
    amqp: await port('rabbitmq', 5672),
    management: await port('management', 15672),
    prometheus: await port('prometheus', 15692),
    mongodb: await port('mongodb', 27017),
  };
  folder.composed(project);
  const down = () => composeDown(project);
  try {
    await run(
      'docker',
      ['compose', '-p', project, '-f', composeFile, 'up', '--detach', '--wait', ...services],
      {
        part: 'docker',
        what: `starting ${services.join(' and ')}`,
        env: {
          WARREN_AMQP_PORT: String(ports.amqp),
          WARREN_MANAGEMENT_PORT: String(ports.management),
          WARREN_RABBITMQ_PROMETHEUS_PORT: String(ports.prometheus),
          WARREN_MONGODB_PORT: String(ports.mongodb),
        },
        ...context,
      },
    );
  } catch (error) {
    await down();
    throw error;
  }
  return {
    rabbitmq: {
      amqp: `amqp://guest:guest@127.0.0.1:${ports.amqp}`,
      management: `http://guest:guest@127.0.0.1:${ports.management}`,
      prometheus: `http://127.0.0.1:${ports.prometheus}/metrics`,
    },
    mongodb: `mongodb://127.0.0.1:${ports.mongodb}/`,
    [Symbol.asyncDispose]: down,
  };
}

/** Removes a project's containers, networks and volumes. */
export async function composeDown(project: string): Promise<void> {
  await run('docker', ['compose', '-p', project, '-f', composeFile, 'down', '--volumes', '--timeout', '1'], {
    part: 'docker',
    what: 'removing the containers',
    report: silent,
  });
}
