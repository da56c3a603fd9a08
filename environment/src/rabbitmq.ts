/** A RabbitMQ of our own, tuned for tests: it starts in seconds, syncs nothing and takes little of the processor. */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { run } from './command.ts';
import type { Contained } from './contained.ts';
import type { Context } from './debian.ts';
import type { Endpoints } from './endpoints.ts';
import { choosePort, freePort } from './ports.ts';
import { debianBrokers, inRoot, rootFileSystem, userIn, type DebianBroker } from './root-file-system.ts';
import { EnvironmentError } from './errors.ts';
import type { RunFolder } from './run-folder.ts';

/** `major.minor` of a RabbitMQ: as an image every one is to be had, from Debian some. */
export type BrokerVersion = DebianBroker | '3.13';

/** What a broker is that nobody asked otherwise of: `WARREN_RABBITMQ_VERSION`, else the newest. */
export const defaultBrokerVersion = (env: NodeJS.ProcessEnv = process.env): BrokerVersion =>
  (env['WARREN_RABBITMQ_VERSION'] as BrokerVersion | undefined) ?? '4.3';

/** What a broker proves itself with, and asks of its clients: PEM. */
export interface ServerTls {
  ca: string;
  cert: string;
  key: string;
  /** Refuses clients without a certificate of the CA. */
  requireClientCertificate?: boolean;
}

interface Ports {
  amqp: number;
  management: number;
  prometheus: number;
  epmd: number;
  distribution: number;
  /** Only with TLS. */
  amqps?: number;
  https?: number;
}

/** A broker that can be stopped and started again with its data, on the same ports. */
export interface RestartableBroker extends AsyncDisposable {
  readonly endpoints: Endpoints['rabbitmq'];
  /** `amqps://…` and `https://…`, where it has certificates. */
  readonly tls?: { amqp: string; management: string };
  /** Stops it in order, as a maintenance would. The data stay. */
  stop(): Promise<void>;
  /** SIGKILL: no goodbye to any client. The data stay. */
  kill(): Promise<void>;
  /** Starts it again after `stop` or `kill`; waits until it takes clients. */
  resume(): Promise<void>;
  /** While it runs, as an administrator would. */
  switchPlugin?(plugin: string, to: 'enable' | 'disable'): Promise<void>;
}

export interface StartOptions {
  name?: string;
  preferred?: boolean;
  version?: BrokerVersion;
  /** It then takes amqps and https as well. */
  tls?: ServerTls | undefined;
  /** Further lines of rabbitmq.conf, which win over ours. */
  settings?: readonly string[] | undefined;
}

export class RabbitMq implements RestartableBroker {
  readonly endpoints: Endpoints['rabbitmq'];
  readonly tls?: { amqp: string; management: string };
  readonly #start: () => Promise<Contained>;
  readonly #administer: (...command: string[]) => Promise<unknown>;
  #process: Contained | undefined;

  private constructor(
    ports: Ports,
    start: () => Promise<Contained>,
    administer: (...command: string[]) => Promise<unknown>,
  ) {
    this.endpoints = {
      amqp: `amqp://guest:guest@127.0.0.1:${ports.amqp}`,
      management: `http://guest:guest@127.0.0.1:${ports.management}`,
      prometheus: `http://127.0.0.1:${ports.prometheus}/metrics`,
    };
    if (ports.amqps !== undefined && ports.https !== undefined)
      this.tls = {
        amqp: `amqps://guest:guest@127.0.0.1:${ports.amqps}`,
        management: `https://guest:guest@127.0.0.1:${ports.https}`,
      };
    this.#start = start;
    this.#administer = administer;
  }

  /**
   * Starts one and waits until it takes clients. `name` tells several in one run folder apart; `preferred`: on the usual
   * ports where they are free. Rejects with `WARREN_ENVIRONMENT_UNAVAILABLE` for a version that Debian has not.
   */
  static async start(
    folder: RunFolder,
    context: Context,
    {
      name = 'rabbitmq',
      preferred = true,
      version = defaultBrokerVersion(),
      tls,
      settings = [],
    }: StartOptions = {},
  ): Promise<RabbitMq> {
    const root = await rootFileSystem(context, debianBrokerOf(version));
    const port = (part: string, wanted: number) =>
      preferred ? choosePort(`${name} ${part}`.trim(), wanted, context.report) : freePort();
    const ports: Ports = {
      amqp: await port('', 5672),
      management: await port('management', 15672),
      prometheus: await port('prometheus', 15692),
      epmd: await freePort(),
      distribution: await freePort(),
      ...(tls === undefined ? {} : { amqps: await freePort(), https: await freePort() }),
    };
    const owner = await userIn(root, 'rabbitmq');
    const data = folder.data(name);
    for (const [file, text] of Object.entries(configuration(ports, tls, settings)))
      writeFileSync(join(data, file), text);
    mkdirSync(join(data, 'lib'));
    for (const entry of ['.', 'lib', 'enabled_plugins']) chownSync(join(data, entry), owner.uid, owner.gid);
    const binds = { 'etc/rabbitmq': data, 'var/lib/rabbitmq': join(data, 'lib') };
    const within = (program: string, ...args: string[]) =>
      inRoot(root, { user: 'rabbitmq', binds }, [`/usr/lib/rabbitmq/bin/${program}`, ...args]);
    const env = environment(ports);
    const starting = async () => {
      const started = performance.now();
      const [shell, args] = within('rabbitmq-server');
      const process = await folder.start({ name, command: [shell, ...args], env });
      try {
        await process.ready(() => isServing(broker.endpoints), context.signal);
      } catch (error) {
        await process.kill();
        throw error;
      }
      context.report(
        name,
        `ready on port ${ports.amqp} after ${((performance.now() - started) / 1000).toFixed(1)} s`,
      );
      return process;
    };
    const broker = new RabbitMq(ports, starting, (program = '', ...args) =>
      run(...within(program, ...args), { part: name, what: program, env, contained: true, ...context }),
    );
    broker.#process = await broker.#start();
    return broker;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  async resume(): Promise<void> {
    this.#process ??= await this.#start();
  }

  async switchPlugin(plugin: string, to: 'enable' | 'disable'): Promise<void> {
    await this.#administer('rabbitmq-plugins', to, plugin);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function debianBrokerOf(version: string): DebianBroker {
  const found = debianBrokers.find((broker) => broker === version);
  if (found !== undefined) return found;
  throw new EnvironmentError(
    'WARREN_ENVIRONMENT_UNAVAILABLE',
    `without a Docker engine RabbitMQ comes from Debian, which has ${debianBrokers.join(' and ')}, not ${version}`,
  );
}

function configuration(
  ports: Ports,
  tls: ServerTls | undefined,
  settings: readonly string[],
): Record<string, string> {
  return {
    'rabbitmq.conf': `
listeners.tcp.1 = 127.0.0.1:${ports.amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = ${ports.management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = ${ports.prometheus}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
# Statistics of queues are fresh after a second instead of five.
collect_statistics_interval = 1000
raft.wal_max_size_bytes = 64000000
${tls === undefined ? '' : tlsConfiguration(ports, tls)}${settings.join('\n')}
`,
    ...(tls === undefined ? {} : { 'ca.crt': tls.ca, 'tls.crt': tls.cert, 'tls.key': tls.key }),
    // Thrown away with the environment: nothing has to survive a power cut.
    'advanced.config': '[{ra, [{wal_sync_method, none}]}].\n',
    enabled_plugins:
      '[rabbitmq_consistent_hash_exchange,rabbitmq_event_exchange,rabbitmq_management,rabbitmq_prometheus].\n',
  };
}

function tlsConfiguration({ amqps, https }: Ports, { requireClientCertificate = false }: ServerTls): string {
  const listener = (prefix: string) =>
    `${prefix}.cacertfile = /etc/rabbitmq/ca.crt
${prefix}.certfile = /etc/rabbitmq/tls.crt
${prefix}.keyfile = /etc/rabbitmq/tls.key
${prefix}.verify = ${requireClientCertificate ? 'verify_peer' : 'verify_none'}
${prefix}.fail_if_no_peer_cert = ${requireClientCertificate}
`;
  return `listeners.ssl.1 = 127.0.0.1:${amqps}
management.ssl.ip = 127.0.0.1
management.ssl.port = ${https}
${listener('ssl_options')}${listener('management.ssl')}`;
}

const environment = (ports: Ports): NodeJS.ProcessEnv => ({
  HOME: '/var/lib/rabbitmq',
  LANG: 'C.UTF-8',
  RABBITMQ_NODENAME: 'rabbit@localhost',
  RABBITMQ_DIST_PORT: String(ports.distribution),
  ERL_EPMD_PORT: String(ports.epmd),
  ERL_EPMD_ADDRESS: '127.0.0.1',
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
    '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
  // Its script then becomes the broker, instead of waiting for it as a child.
  RUNNING_UNDER_SYSTEMD: 'true',
});

/** Whether the management API answers, and says that the broker listens for clients. */
export async function isServing({ management }: Endpoints['rabbitmq']): Promise<boolean> {
  const { username, password, origin } = new URL(management);
  const authorization = `Basic ${btoa(`${username}:${password}`)}`;
  const signal = AbortSignal.timeout(5_000);
  const response = await fetch(`${origin}/api/overview`, { headers: { authorization }, signal });
  const text = await response.text();
  if (!response.ok) return false;
  const { listeners } = JSON.parse(text) as { listeners: { protocol: string }[] };
  return listeners.some(({ protocol }) => protocol === 'amqp');
}

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}
