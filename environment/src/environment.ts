/** Brings the real parts up, each by the first of these that is there: its URL, what runs already, Docker, Debian and Go. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startDatabase } from './database.ts';
import { requireDebianRoot, type Context } from './debian.ts';
import { composeDown, hasDocker, startComposed } from './docker.ts';
import {
  endpointsFile,
  readEndpoints,
  removeEndpoints,
  stateDir as defaultStateDir,
  writeEndpoints,
  type Endpoints,
} from './endpoints.ts';
import { startKubernetes } from './kubernetes.ts';
import { printer, type Report } from './progress.ts';
import { RabbitMq } from './rabbitmq.ts';
import { RunFolder, tidyUp } from './run-folder.ts';
import { namedByUrl } from './urls.ts';

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
  await tidyUp(stateDir, report, composeDown);
  const shared = endpointsFile();
  const given: Partial<Endpoints> = { ...readEndpoints(shared), ...namedByUrl(process.env) };
  if (given.rabbitmq) report('rabbitmq', `using ${withoutPassword(given.rabbitmq.amqp)}`);
  if (given.mongodb) report('mongodb', `using ${withoutPassword(given.mongodb)}`);
  if (kubernetes && given.kubernetes) report('kubernetes', `using ${given.kubernetes.kubeconfig}`);

  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new RunFolder(stateDir, keep));
  // The first failure ends the other parts' start.
  const failed = new AbortController();
  const context: Context = { report, signal: AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]) };
  const part = async <T>(start: () => Promise<T>): Promise<T> => {
    try {
      return await start();
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  const own = <T extends AsyncDisposable>(started: T): T => stack.use(started);
  const docker =
    (given.rabbitmq && given.mongodb) || !(await hasDocker())
      ? undefined
      : startComposed(folder, given, context);
  if (docker === undefined && !(given.rabbitmq && given.mongodb))
    await requireDebianRoot('RabbitMQ and the database');
  const composed = docker === undefined ? undefined : own(await docker);
  const results = await Promise.allSettled([
    part(
      async () =>
        given.rabbitmq ?? composed?.rabbitmq ?? own(await RabbitMq.start(folder, context)).endpoints,
    ),
    part(async () => given.mongodb ?? composed?.mongodb ?? own(await startDatabase(folder, context)).url),
    part(async () => {
      if (!kubernetes) return given.kubernetes ?? null;
      if (given.kubernetes) return given.kubernetes;
      return { kubeconfig: own(await startKubernetes(folder, context)).kubeconfig };
    }),
  ]);
  const failure = failed.signal.aborted ? (failed.signal.reason as unknown) : undefined;
  const [rabbitmq, mongodb, cluster] = results.map((result) =>
    result.status === 'fulfilled' ? result.value : undefined,
  ) as [Endpoints['rabbitmq'], string, Endpoints['kubernetes']];
  if (failure !== undefined) throw failure;

  const endpoints: Endpoints = { rabbitmq, mongodb, kubernetes: cluster, services: {}, owner: folder.owner };
  const files = [join(folder.path, 'endpoints.json')];
  // The first environment on a machine is the one that others find.
  if (readEndpoints(shared) === undefined) files.push(shared);
  const publish = (services: Record<string, string>) => {
    Object.assign(endpoints.services, services);
    for (const file of files) writeEndpoints(file, endpoints);
  };
  const unpublish = () => {
    for (const file of files) removeEndpoints(file, folder.owner);
  };
  publish({});
  process.once('exit', unpublish);
  stack.defer(() => {
    process.off('exit', unpublish);
    unpublish();
  });
  const owned = stack.move();
  return {
    endpoints,
    endpointsFile: files[0] as string,
    publish,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A URL for people. */
export function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = '***';
  return shown.href;
}
