/**
 * RabbitMQ and MongoDB as containers of `compose.yaml`, where a Docker engine runs. What runs in the project already is
 * used and left alone; what we start, we remove.
 *
 * The project's own machine has no engine: there the commands are tested, not the containers.
 */
import { join } from 'node:path';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { repositoryRoot, type Endpoints } from './endpoints.ts';
import { choosePort } from './ports.ts';
import { silent } from './progress.ts';
import type { RunFolder } from './run-folder.ts';

const compose = ['compose', '--file', join(repositoryRoot, 'compose.yaml')];
const images = ['rabbitmq', 'mongodb'] as const;
type Image = (typeof images)[number];

/** What is preferred on this machine for each port of a container, and the variable of compose.yaml that moves it. */
const published: Record<Image, readonly { inside: number; variable: string }[]> = {
  rabbitmq: [
    { inside: 5672, variable: 'WARREN_AMQP_PORT' },
    { inside: 15672, variable: 'WARREN_MANAGEMENT_PORT' },
    { inside: 15692, variable: 'WARREN_RABBITMQ_PROMETHEUS_PORT' },
  ],
  mongodb: [{ inside: 27017, variable: 'WARREN_MONGODB_PORT' }],
};

export interface Composed extends AsyncDisposable {
  rabbitmq: Endpoints['rabbitmq'];
  mongodb: string;
}

/** Whether an engine answers and Compose is installed. `WARREN_DOCKER=0` says no. */
export async function hasDocker(): Promise<boolean> {
  if (process.env['WARREN_DOCKER'] === '0') return false;
  return (await succeeds('docker', ['version'])) && (await succeeds('docker', ['compose', 'version']));
}

/** Starts those of RabbitMQ and MongoDB that are neither given nor running, and waits until they are healthy. */
export async function startComposed(
  folder: RunFolder,
  given: Partial<Endpoints>,
  context: Context,
): Promise<Composed> {
  const docker = (args: readonly string[], what: string, env = {}) =>
    run('docker', [...compose, ...args], { part: 'docker', what, env, ...context });
  const running = (await docker(['ps', '--services', '--status=running'], 'looking for containers')).split(
    '\n',
  );
  const wanted = images.filter((image) => !given[image] && !running.includes(image));
  if (wanted.length > 0) {
    const ports: Record<string, string> = {};
    for (const { inside, variable } of wanted.flatMap((image) => published[image])) {
      ports[variable] = String(await choosePort('docker', inside, context.report));
    }
    folder.composed(wanted);
    try {
      await docker(['up', '--detach', '--wait', ...wanted], `starting ${wanted.join(' and ')}`, ports);
    } catch (error) {
      await composeRemove(wanted);
      throw error;
    }
  }
  const address = async (image: Image, inside: number) =>
    given[image] ? '' : (await docker(['port', image, String(inside)], 'finding the ports')).trim();
  return {
    rabbitmq: given.rabbitmq ?? {
      amqp: `amqp://guest:guest@${await address('rabbitmq', 5672)}`,
      management: `http://guest:guest@${await address('rabbitmq', 15672)}`,
      prometheus: `http://${await address('rabbitmq', 15692)}/metrics`,
    },
    mongodb: given.mongodb ?? `mongodb://${await address('mongodb', 27017)}/`,
    [Symbol.asyncDispose]: () => composeRemove(wanted),
  };
}

/** Removes containers and the data in them. */
export async function composeRemove(services: readonly string[]): Promise<void> {
  if (services.length === 0) return;
  await run('docker', [...compose, 'rm', '--stop', '--force', '--volumes', ...services], {
    part: 'docker',
    what: `removing ${services.join(' and ')}`,
    report: silent,
  });
}
