/**
 * The shop as processes on this machine: the operator in folder mode (or against a Kubernetes API
 * server) and the six services, each with its own database and the bindings that the operator hands out.
 *
 * Used by `npm start` and by the end-to-end tests, which kill and restart single services.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ManagedProcess, ProcessEndedError, type LogRecord } from './managed-process.ts';

export const serviceNames = ['user', 'order', 'payment', 'loyalty', 'notification', 'event-log'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** The ports of the design, as `npm start` uses them where they are free. */
export const preferredPorts: Readonly<Record<ServiceName | 'operator', number>> = {
  user: 3001,
  order: 3002,
  payment: 3003,
  loyalty: 3004,
  notification: 3005,
  'event-log': 3006,
  operator: 3010,
};

/** What the shop needs from outside. All URLs are complete, credentials included. */
export interface ShopOptions {
  /** Where state, secrets and logs go. */
  stateDir: string;
  /** `mongodb://…/` without a database: each service gets `<databasePrefix><service>`. */
  mongodbUrl: string;
  databasePrefix: string;
  /** Where the mails go: `smtp://host:port`. */
  smtpUrl: string;
  /** Folder of EventSubscriptions, or the kubeconfig of an API server that holds them. */
  source: { folder: string } | { kubeconfig: string };
  /** With one folder a subscription; the operator's own in folder mode. */
  bindingRoot?: string;
  /** Free ones unless given. */
  ports?: Readonly<Record<ServiceName | 'operator', number>>;
  /** Further environment variables of every service (OTEL_EXPORTER_OTLP_ENDPOINT, PAYMENT_LIMIT …). */
  env?: Readonly<Record<string, string>>;
  onLog?: (process: string, record: LogRecord) => void;
  onUnexpectedEnd?: (process: ManagedProcess) => void;
}

export class Shop implements AsyncDisposable {
  readonly operator: ManagedProcess;
  readonly services: Readonly<Record<ServiceName, ManagedProcess>>;
  readonly #urls = new Map<string, string>();

  constructor(options: ShopOptions) {
    const common = {
      cwd: join(import.meta.dirname, '..'),
      logDir: join(options.stateDir, 'logs'),
      onLog: (name: string, record: LogRecord) => {
        const url = listeningUrl(name, record);
        if (url !== undefined) this.#urls.set(name, url);
        options.onLog?.(name, record);
      },
      onUnexpectedEnd: options.onUnexpectedEnd,
    };
    const node = ['--conditions=warren-source', '--disable-warning=ExperimentalWarning'];
    const fromFolder = 'folder' in options.source;
    this.operator = new ManagedProcess({
      ...common,
      name: 'operator',
      args: [
        ...node,
        'operator/src/main.ts',
        ...('folder' in options.source
          ? ['--folder', options.source.folder, '--state', options.stateDir]
          : ['--kubernetes']),
      ],
      env: {
        OPERATOR_PORT: String(options.ports?.operator ?? 0),
        ...('kubeconfig' in options.source && { KUBECONFIG: options.source.kubeconfig }),
      },
    });
    const bindingRoot = options.bindingRoot ?? join(options.stateDir, 'bindings', 'shop');
    this.services = mapServices(
      (name) =>
        new ManagedProcess({
          ...common,
          name,
          args: [...node, `services/${name}/src/main.ts`],
          env: {
            PORT: String(options.ports?.[name] ?? 0),
            HOST: '127.0.0.1',
            LOG_LEVEL: 'debug',
            // Whatever this process was given: they publish as their own users, by their bindings.
            RABBITMQ_URL: '',
            MONGODB_URL: databaseUrl(options.mongodbUrl, `${options.databasePrefix}${name}`),
            SERVICE_BINDING_ROOT: bindingRoot,
            BINDING_POLL_MS: fromFolder ? '250' : '500',
            SMTP_URL: options.smtpUrl,
            ...options.env,
          },
        }),
    );
  }

  /** Where a service, or the operator, listens. A restart may change it, where the port is not given. */
  url(name: ServiceName | 'operator'): string {
    const url = this.#urls.get(name);
    if (url === undefined) throw new Error(`${name} does not listen yet`);
    return url;
  }

  /** Starts the operator, then every service, and waits until all of them are ready. */
  async start(options: { signal?: AbortSignal; onReady?: (name: ServiceName) => void } = {}): Promise<void> {
    this.operator.start();
    for (const name of serviceNames) this.services[name].start();
    await Promise.all(
      serviceNames.map(async (name) => {
        await this.ready(name, options.signal);
        options.onReady?.(name);
      }),
    );
  }

  /** Kills a service at once, as a crash would. */
  async kill(name: ServiceName): Promise<void> {
    this.#urls.delete(name);
    await this.services[name].kill('SIGKILL');
  }

  /** Ends a service as a deployment would. */
  async stop(name: ServiceName): Promise<void> {
    await this.services[name].stop();
    this.#urls.delete(name);
  }

  /**
   * Waits until a service answers `/readyz` with 200, at most 90 s.
   *
   * @throws {ProcessEndedError} when it, or the operator that it waits for, has ended
   */
  async ready(name: ServiceName, signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + 90_000;
    let last = 'no answer yet';
    while (performance.now() < deadline) {
      signal?.throwIfAborted();
      for (const needed of [this.services[name], this.operator]) {
        if (needed.ended !== undefined) throw new ProcessEndedError(needed);
      }
      try {
        const response = await fetch(`${this.url(name)}/readyz`, { signal: AbortSignal.timeout(5_000) });
        const body = await response.text();
        if (response.ok) return;
        last = `${response.status} ${body.slice(0, 600)}`;
      } catch (error) {
        last = String(error);
      }
      await sleep(100);
    }
    throw new Error(`${name} did not become ready: ${last}; see ${this.services[name].logFile}`);
  }

  /** Ends the services, and then the operator that serves them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(serviceNames.map((name) => this.services[name].stop()));
    await this.operator.stop();
  }
}

/** Puts the broker's credentials where the operator in folder mode finds Secrets; takes them away on dispose. */
export async function writeBrokerSecret(
  stateDir: string,
  secret: { namespace: string; name: string; amqpUrl: string; managementUrl: string },
): Promise<AsyncDisposable> {
  const dir = join(stateDir, 'secrets', secret.namespace, secret.name);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFile(join(dir, 'uri'), secret.amqpUrl, { mode: 0o600 });
  await writeFile(join(dir, 'management-uri'), secret.managementUrl, { mode: 0o600 });
  return { [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

function mapServices<T>(make: (name: ServiceName) => T): Record<ServiceName, T> {
  return Object.fromEntries(serviceNames.map((name) => [name, make(name)])) as Record<ServiceName, T>;
}

/** Services log their url, the operator its port. */
export function listeningUrl(name: string, { msg, url, port }: LogRecord): string | undefined {
  if (name === 'operator') return typeof port === 'number' ? `http://127.0.0.1:${port}` : undefined;
  return msg === 'listening' && typeof url === 'string' ? url : undefined;
}

/** A MongoDB URL with its database replaced; credentials go on being looked up where they were. */
export function databaseUrl(base: string, database: string): string {
  const url = new URL(base);
  if (url.username !== '' && !url.searchParams.has('authSource')) {
    url.searchParams.set('authSource', url.pathname.replace(/^\//, '') || 'admin');
  }
  url.pathname = `/${database}`;
  return url.href;
}
