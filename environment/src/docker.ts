/**
 * RabbitMQ and MongoDB as containers of `compose.yaml`, where a Docker engine runs. What runs in the project already is
 * used and left alone; what we start, we remove.
 *
 * The project's own machine has no engine: what is here was written after Docker's documentation and could not be run.
 */
import { join } from 'node:path';
import { run, succeeds } from './command.ts';
import type { Context } from './debian.ts';
import { repositoryRoot, type Endpoints } from './endpoints.ts';
import { EnvironmentError } from './errors.ts';
import { choosePort, freePort } from './ports.ts';
import { silent } from './progress.ts';
import { defaultBrokerVersion, isServing, type BrokerVersion, type RestartableBroker } from './rabbitmq.ts';
import type { RunFolder } from './run-folder.ts';

const compose = ['compose', '--file', join(repositoryRoot, 'compose.yaml')];
/** The plug-ins that Warren uses. */
const plugins = join(repositoryRoot, 'k8s', 'dev', 'rabbitmq', 'enabled_plugins');
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
    folder.undoneBy(removal(wanted));
    try {
      await docker(['up', '--detach', '--wait', ...wanted], `starting ${wanted.join(' and ')}`, ports);
    } catch (error) {
      await undo(removal(wanted));
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
    [Symbol.asyncDispose]: () => (wanted.length > 0 ? undo(removal(wanted)) : Promise.resolve()),
  };
}

/** What removes containers of compose.yaml, and the data in them. */
const removal = (services: readonly string[]) => [
  ...compose,
  ...['rm', '--stop', '--force', '--volumes', ...services],
];

/** Runs docker with arguments that undo something. */
export async function undo(args: readonly string[]): Promise<void> {
  await run('docker', args, { part: 'docker', what: 'removing containers', report: silent });
}

/** What docker is told to run a broker with. */
export const brokerContainer = (
  name: string,
  ports: { amqp: number; management: number },
  version: BrokerVersion,
): string[] => [
  ...['run', '--detach', '--name', name, '--hostname', 'rabbitmq'],
  ...['--publish', `127.0.0.1:${ports.amqp}:5672`, '--publish', `127.0.0.1:${ports.management}:15672`],
  ...['--volume', `${plugins}:/etc/rabbitmq/enabled_plugins:ro`],
  `rabbitmq:${version}-management`,
];

/** A RabbitMQ container of its own, that can be stopped and started again with its data. */
export async function startBrokerContainer(
  folder: RunFolder,
  context: Context,
  version: BrokerVersion = defaultBrokerVersion(),
): Promise<RestartableBroker> {
  const name = `warren-broker-${folder.owner.pid}-${folder.owner.startTime}`;
  const [amqp, management] = [await freePort(), await freePort()];
  const endpoints = {
    amqp: `amqp://guest:guest@127.0.0.1:${amqp}`,
    management: `http://guest:guest@127.0.0.1:${management}`,
  };
  const remove = ['rm', '--force', '--volumes', name];
  const docker = async (...args: string[]) => {
    await run('docker', args, { part: 'docker', what: `${args[0] ?? ''} ${name}`, ...context });
  };
  const serving = async () => {
    const until = performance.now() + 120_000;
    while (!(await isServing(endpoints).catch(() => false))) {
      context.signal?.throwIfAborted();
      if (performance.now() > until) {
        throw new EnvironmentError(
          'WARREN_ENVIRONMENT_START',
          `the container ${name} was not ready after 120 s`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  folder.undoneBy(remove);
  try {
    await docker(...brokerContainer(name, { amqp, management }, version));
    await serving();
  } catch (error) {
    await undo(remove);
    throw error;
  }
  return {
    endpoints,
    stop: () => docker('stop', name),
    kill: () => docker('kill', name),
    async resume() {
      await docker('start', name);
      await serving();
    },
    [Symbol.asyncDispose]: () => undo(remove),
  };
}
