/** Brings the real parts up, each by the first of these that is there: its URL, what runs already, Docker, Debian and Go. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDatabase } from './database.ts';
import { requireDebianRoot, type Context } from './debian.ts';
import { undo, hasDocker, startComposed, type Composed } from './docker.ts';
import {
  endpointsFile,
  publishTo,
  readEndpoints,
  stateDir as defaultStateDir,
  unpublishFrom,
  writeEndpoints,
  type Endpoints,
} from './endpoints.ts';
import { onExit } from './exit.ts';
import { startKubernetes } from './kubernetes.ts';
import { printer, type Report } from './progress.ts';
import { RabbitMq } from './rabbitmq.ts';
import { RunFolder, tidyUp } from './run-folder.ts';
import { namedByUrl, withoutPassword } from './urls.ts';

export interface EnvironmentOptions {
  /** Also an API server with etcd and the controller manager. */
  kubernetes?: boolean;
  /** Where data, logs and `endpoints.json` go: `WARREN_STATE_DIR` or `.local` by default. */
  stateDir?: string;
  /** Leaves data and logs when it ends: `WARREN_KEEP=1` by default. */
  keep?: boolean;
  report?: Report;
  /** Abandons the start; what was started is ended. */
  signal?: AbortSignal;
}

export interface Environment extends AsyncDisposable {
  endpoints: Endpoints;
  /** The file with these endpoints, for child processes: `WARREN_ENDPOINTS`. */
  endpointsFile: string;
  /** Adds addresses of services to the endpoints file. */
  publish(services: Record<string, string>): void;
}

/**
 * RabbitMQ and a database, and an API server where asked for. All that it starts ends with `[Symbol.asyncDispose]`, and
 * with this process, however that ends. Rejects with an `EnvironmentError`.
 */
export async function startEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const { kubernetes = false, stateDir = defaultStateDir(), report = printer(), signal } = options;
  const keep = options.keep ?? process.env['WARREN_KEEP'] === '1';
  mkdirSync(stateDir, { recursive: true });
  await tidyUp(stateDir, report, undo);
  const shared = options.stateDir === undefined ? endpointsFile() : join(stateDir, 'endpoints.json');
  const given = find(shared, kubernetes, report);

  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new RunFolder(stateDir, keep));
  if (keep) stack.defer(() => report('environment', `data and logs are kept in ${folder.path}`));
  const parts = await startParts(folder, given, { kubernetes, report, signal }, stack);

  const endpoints = { ...parts, services: {}, owner: folder.owner };
  const own = join(folder.path, 'endpoints.json');
  const publish = (services: Record<string, string>) => {
    Object.assign(endpoints.services, services);
    writeEndpoints(own, endpoints);
    publishTo(shared, endpoints);
  };
  publish({});
  const unpublish = () => unpublishFrom(shared, folder.owner);
  const atExit = onExit(unpublish);
  stack.defer(() => {
    atExit[Symbol.dispose]();
    unpublish();
  });
  const owned = stack.move();
  return { endpoints, endpointsFile: own, publish, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What is there already, by URL or by an environment that runs. */
function find(shared: string, kubernetes: boolean, report: Report): Partial<Endpoints> {
  const given: Partial<Endpoints> = { ...readEndpoints(shared), ...namedByUrl(process.env) };
  if (given.rabbitmq) report('rabbitmq', `using ${withoutPassword(given.rabbitmq.amqp)}`);
  if (given.mongodb) report('mongodb', `using ${withoutPassword(given.mongodb)}`);
  if (kubernetes && given.kubernetes) report('kubernetes', `using ${given.kubernetes.kubeconfig}`);
  return given;
}

/** Starts what is not given, side by side; the first failure ends the others' start and is thrown. */
async function startParts(
  folder: RunFolder,
  given: Partial<Endpoints>,
  { kubernetes, report, signal }: { kubernetes: boolean; report: Report; signal: AbortSignal | undefined },
  stack: AsyncDisposableStack,
): Promise<Pick<Endpoints, 'rabbitmq' | 'mongodb' | 'kubernetes'>> {
  const failed = new AbortController();
  const context: Context = { report, signal: AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]) };
  let failure: { error: unknown } | undefined;
  const part = async <T>(start: () => Promise<T> | T): Promise<T> => {
    try {
      return await start();
    } catch (error) {
      failure ??= { error };
      failed.abort(error);
      throw error;
    }
  };
  const own = async <T extends AsyncDisposable>(started: Promise<T>): Promise<T> => stack.use(await started);
  let composed: Promise<Partial<Composed>> = Promise.resolve({});
  if (!given.rabbitmq || !given.mongodb) {
    if (await hasDocker()) composed = own(startComposed(folder, given, context));
    else requireDebianRoot('RabbitMQ and the database');
  }
  const [rabbitmq, mongodb, cluster] = await Promise.allSettled([
    part(
      async () =>
        given.rabbitmq ?? (await composed).rabbitmq ?? (await own(RabbitMq.start(folder, context))).endpoints,
    ),
    part(
      async () =>
        given.mongodb ?? (await composed).mongodb ?? (await own(startDatabase(folder, context))).url,
    ),
    part(async () => {
      if (!kubernetes || given.kubernetes) return given.kubernetes ?? null;
      const { kubeconfig } = await own(startKubernetes(folder, context));
      return { kubeconfig };
    }),
  ]);
  if (rabbitmq.status === 'rejected' || mongodb.status === 'rejected' || cluster.status === 'rejected') {
    throw failure?.error;
  }
  return { rabbitmq: rabbitmq.value, mongodb: mongodb.value, kubernetes: cluster.value };
}
