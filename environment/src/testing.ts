/**
 * For tests: a virtual host, a database or a broker of one's own on the parts that run, found through the endpoints file
 * or the URLs in the environment (`RABBITMQ_URL`, `MONGODB_URL`, `KUBECONFIG`). Each is removed when it is disposed.
 */
import { mongo } from 'mongoose';
import { currentEndpoints, readEndpoints, stateDir, type Endpoints } from './endpoints.ts';
import { EnvironmentError } from './errors.ts';
import { requireDebianRoot } from './debian.ts';
import { hasDocker, startBrokerContainer } from './docker.ts';
import { kedaDefinitions } from './keda.ts';
import { startKeda, type Keda, type KedaOptions } from './keda-processes.ts';
import { startKubernetes } from './kubernetes.ts';
import { manage } from './manage.ts';
import { silent } from './progress.ts';
import { startPrometheus, type Prometheus } from './prometheus.ts';
import {
  defaultBrokerVersion,
  RabbitMq,
  type BrokerVersion,
  type RestartableBroker,
  type ServerTls,
} from './rabbitmq.ts';
import { RunFolder } from './run-folder.ts';
import { databaseUrl, namedByUrl } from './urls.ts';

export type { ServerTls } from './rabbitmq.ts';
export type { Keda, KedaOptions } from './keda-processes.ts';
export type { Prometheus } from './prometheus.ts';
export { brokerVersions } from './broker-versions.ts';
export type { BrokerVersion } from './rabbitmq.ts';
export { databaseUrl } from './urls.ts';
export { manage } from './manage.ts';
export { eventually, type EventuallyOptions } from './eventually.ts';

/** What runs now; a URL in the environment goes before the endpoints file. Throws `WARREN_ENVIRONMENT_DOWN`. */
export function testEndpoints(): Endpoints {
  const named = namedByUrl(process.env);
  const found = named.rabbitmq && named.mongodb ? readEndpoints() : currentEndpoints();
  const { rabbitmq = found?.rabbitmq, mongodb = found?.mongodb } = named;
  if (!rabbitmq || !mongodb) return currentEndpoints();
  // A cluster that a kubeconfig names is the user's own, unless the environment was started with it.
  return {
    rabbitmq,
    mongodb,
    kubernetes: found?.kubernetes ?? named.kubernetes ?? null,
    services: found?.services ?? {},
  };
}

/** KEDA's custom resource definitions, as objects to apply. Takes Go. */
export function testKedaDefinitions(): Promise<Record<string, unknown>[]> {
  return kedaDefinitions({ report: silent });
}

export interface TestBroker extends AsyncDisposable {
  /** `amqp://user:password@host:port/vhost` */
  amqpUrl: string;
  /** `http://user:password@host:port`, without a path. */
  managementUrl: string;
  vhost: string;
}

/**
 * A virtual host of its own on the running broker, or on a dedicated one; deleted on dispose, with all that is in it.
 */
export async function testBroker({ on }: { on?: DedicatedBroker } = {}): Promise<TestBroker> {
  const rabbitmq =
    on === undefined ? testEndpoints().rabbitmq : { amqp: on.amqpUrl, management: on.managementUrl };
  const vhost = uniqueName();
  const path = `/api/vhosts/${vhost}`;
  await manage(rabbitmq.management, 'PUT', path, { default_queue_type: 'quorum' });
  const user = decodeURIComponent(new URL(rabbitmq.management).username);
  const all = { configure: '.*', write: '.*', read: '.*' };
  await manage(rabbitmq.management, 'PUT', `/api/permissions/${vhost}/${encodeURIComponent(user)}`, all);
  return {
    amqpUrl: new URL(`/${vhost}`, rabbitmq.amqp).href,
    managementUrl: rabbitmq.management,
    vhost,
    async [Symbol.asyncDispose]() {
      await manage(rabbitmq.management, 'DELETE', path);
      await deleteUsersOf(vhost, rabbitmq.management);
    },
  };
}

/** Users are the broker's: those that an operator made for this virtual host outlive it. */
async function deleteUsersOf(vhost: string, management: string): Promise<void> {
  const users = (await manage(management, 'GET', '/api/users')) as { name: string }[];
  for (const { name } of users.filter((user) => user.name.includes(`@${vhost}#`)))
    await manage(management, 'DELETE', `/api/users/${encodeURIComponent(name)}`);
}

export interface TestDatabase extends AsyncDisposable {
  /** `mongodb://host:port/name` */
  url: string;
  name: string;
}

/** A database name of its own; dropped on dispose. */
export function testDatabase(): Promise<TestDatabase> {
  const name = uniqueName();
  const url = databaseUrl(testEndpoints().mongodb, name);
  return Promise.resolve({
    url,
    name,
    async [Symbol.asyncDispose]() {
      await using client = new mongo.MongoClient(url);
      await client.db(name).dropDatabase();
    },
  });
}

/** The kubeconfig of the API server that runs. Throws `WARREN_ENVIRONMENT_DOWN` where none does. */
export function testKubernetes(): Promise<{ kubeconfig: string }> {
  const { kubernetes } = testEndpoints();
  if (kubernetes === null) {
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_DOWN',
      'No API server runs. Start one with: npm run env:up',
    );
  }
  return Promise.resolve(kubernetes);
}

export interface DedicatedBroker extends AsyncDisposable {
  /** `amqp://user:password@host:port/`, the default virtual host. */
  amqpUrl: string;
  managementUrl: string;
  vhost: '/';
  /** The same by amqps and https, where it was given certificates. */
  tls?: { amqpUrl: string; managementUrl: string };
  /** Stops the broker in order and starts it again, with its data and on the same ports. Resolves when it takes clients. */
  restart(): Promise<void>;
  /** SIGKILL. Clients see their connections cut. */
  kill(): Promise<void>;
  /** Starts it again after `kill`. Resolves when it takes clients. */
  start(): Promise<void>;
  /** While it runs. Throws where the broker is a container, whose plug-ins are as it was made. */
  switchPlugin(plugin: string, to: 'enable' | 'disable'): Promise<void>;
}

/**
 * A RabbitMQ of its own, to be restarted and killed, or to be of another version than the one that runs. Ended on dispose; its
 * data are thrown away. Takes Docker, or root on Debian; with certificates or settings (lines of rabbitmq.conf), root on
 * Debian.
 */
export async function dedicatedBroker({
  version = defaultBrokerVersion(),
  tls,
  settings,
}: {
  version?: BrokerVersion;
  tls?: ServerTls;
  settings?: readonly string[];
} = {}): Promise<DedicatedBroker> {
  const docker = tls === undefined && settings === undefined && (await hasDocker());
  if (!docker) requireDebianRoot('a dedicated broker');
  const { part: broker, end } = await inFolderOfItsOwn<RestartableBroker>('broker', (folder) =>
    docker
      ? startBrokerContainer(folder, { report: silent }, version)
      : RabbitMq.start(folder, { report: silent }, { preferred: false, version, tls, settings }),
  );
  return {
    amqpUrl: `${broker.endpoints.amqp}/`,
    managementUrl: broker.endpoints.management,
    vhost: '/',
    ...(broker.tls === undefined
      ? {}
      : { tls: { amqpUrl: `${broker.tls.amqp}/`, managementUrl: broker.tls.management } }),
    async restart() {
      await broker.stop();
      await broker.resume();
    },
    kill: () => broker.kill(),
    start: () => broker.resume(),
    async switchPlugin(plugin, to) {
      if (broker.switchPlugin === undefined)
        throw new EnvironmentError(
          'WARREN_ENVIRONMENT_UNAVAILABLE',
          'the plug-ins of a container stay as they are: ask for a broker with settings',
        );
      await broker.switchPlugin(plugin, to);
    },
    [Symbol.asyncDispose]: end,
  };
}

export interface DedicatedKubernetes extends AsyncDisposable {
  kubeconfig: string;
  /** Ends the API server in order and starts it again, with its data and on the same port. Resolves when it is ready. */
  restart(): Promise<void>;
  /** SIGKILL to the API server. Clients see their connections cut. */
  kill(): Promise<void>;
  /** Starts it again after `kill`. Resolves when it is ready. */
  start(): Promise<void>;
}

/** An API server of its own, to be restarted and killed. Ended on dispose; its data are thrown away. */
export async function dedicatedKubernetes(): Promise<DedicatedKubernetes> {
  const { part, end } = await inFolderOfItsOwn('kubernetes', (folder) =>
    startKubernetes(folder, { report: silent }),
  );
  return {
    kubeconfig: part.kubeconfig,
    async restart() {
      await part.stop();
      await part.resume();
    },
    kill: () => part.kill(),
    start: () => part.resume(),
    [Symbol.asyncDispose]: end,
  };
}

/**
 * A Prometheus of its own that scrapes as the text of a prometheus.yml says. `url` is its base URL. The first on a
 * machine fetches Debian's package.
 */
export async function testPrometheus(configuration: string): Promise<Prometheus> {
  const { part, end } = await inFolderOfItsOwn('prometheus', (folder) =>
    startPrometheus(folder, configuration, { report: silent }),
  );
  return { url: part.url, [Symbol.asyncDispose]: end };
}

/**
 * A KEDA of its own, as processes beside an API server that has its definitions. The first on a machine is built for a quarter
 * of an hour: `npm run test:keda` shows how far it is.
 */
export async function testKeda(options: KedaOptions): Promise<Keda> {
  const { part, end } = await inFolderOfItsOwn('keda', (folder) =>
    startKeda(folder, options, { report: silent }),
  );
  return { ...part, [Symbol.asyncDispose]: end };
}

async function inFolderOfItsOwn<T extends AsyncDisposable>(
  name: string,
  start: (folder: RunFolder) => Promise<T>,
): Promise<{ part: T; end: () => Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const part = stack.use(await start(stack.use(new RunFolder(stateDir(), false, name))));
  const owned = stack.move();
  return { part, end: () => owned.disposeAsync() };
}

let made = 0;
const uniqueName = (): string => `test-${process.pid}-${Date.now().toString(36)}-${made++}`;
