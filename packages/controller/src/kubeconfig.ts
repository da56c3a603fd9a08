/**
 * Where the API server is and who we are, out of the places where kubectl looks: $KUBECONFIG, ~/.kube/config, the pod's
 * service account.
 *
 * What is plain (certificates, a token, a password, files of these) is read here. What runs something (exec plugins,
 * auth providers), impersonates, or is merged from several files is @kubernetes/client-node's, and only then is it loaded:
 * its generated models take 65 MB of a process that needs none of them.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { Cluster, User } from '@kubernetes/client-node';
import { parse } from 'yaml';

/** What of a KubeConfig is used here. */
export interface Credentials {
  getCurrentCluster(): Pick<Cluster, 'server' | 'proxyUrl'> | null;
  getCurrentUser(): Pick<User, 'authProvider'> | null;
  /** Sets `ca`, `cert`, `key`, `servername`, `rejectUnauthorized`, `headers` and `auth`. */
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface Where {
  env: Environment;
  home: string;
  /** Of the pod's service account: `ca.crt` and `token`. */
  serviceAccount: string;
}

const HERE: Where = {
  env: process.env,
  home: homedir(),
  serviceAccount: '/var/run/secrets/kubernetes.io/serviceaccount',
};

/** Undefined when it takes client-node to tell. Throws when $KUBECONFIG names a file that cannot be read. */
export function defaultCredentials(where: Where = HERE): Credentials | undefined {
  const files = (where.env['KUBECONFIG'] ?? '').split(delimiter).filter((name) => name !== '');
  if (files.length > 1) return undefined;
  const [file = join(where.home, '.kube', 'config')] = files;
  const text = files.length === 1 ? readFileSync(file, 'utf8') : textOf(file);
  return text === undefined ? inCluster(where) : plainCredentials(text, dirname(file));
}

/** As client-node finds them: in the same places. */
export async function clientNodeCredentials(): Promise<Credentials> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}

/** client-node keeps what an exec plugin printed until it expires, though it is refused, and has no other way to be told. */
export function forgetPlugins(credentials: Credentials): void {
  const { authenticators = [] } = credentials as { authenticators?: { tokenCache?: object }[] };
  for (const one of authenticators) if (one.tokenCache !== undefined) one.tokenCache = {};
}

/** Undefined when there is more in it than is read here. */
export function plainCredentials(text: string, folder: string): Credentials | undefined {
  const { clusters, users, contexts, 'current-context': current } = (parse(text) ?? {}) as RawConfig;
  const context = contexts?.find(({ name }) => name === current)?.context;
  const cluster = clusters?.find(({ name }) => name === context?.cluster)?.cluster;
  const user = users?.find(({ name }) => name === context?.user)?.user ?? {};
  if (cluster === undefined) return undefined;
  const known = isKnown(cluster, CLUSTER_FIELDS) && isKnown(user, USER_FIELDS);
  return known ? new PlainCredentials(cluster, user, folder) : undefined;
}

function inCluster({ env, serviceAccount }: Where): Credentials | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || port === undefined || textOf(join(serviceAccount, 'token')) === undefined)
    return undefined;
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  return new PlainCredentials(
    { server, 'certificate-authority': 'ca.crt' },
    { tokenFile: 'token' },
    serviceAccount,
  );
}

interface RawConfig {
  'current-context'?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: RawCluster }[];
  users?: { name: string; user: RawUser | null }[];
}

interface RawCluster {
  server: string;
  'certificate-authority-data'?: string;
  'certificate-authority'?: string;
  'insecure-skip-tls-verify'?: boolean;
  'tls-server-name'?: string;
  'proxy-url'?: string;
}

interface RawUser {
  'client-certificate-data'?: string;
  'client-certificate'?: string;
  'client-key-data'?: string;
  'client-key'?: string;
  token?: string;
  tokenFile?: string;
  username?: string;
  password?: string;
}

const CLUSTER_FIELDS = [
  'server',
  'certificate-authority-data',
  'certificate-authority',
  'insecure-skip-tls-verify',
  'tls-server-name',
  'proxy-url',
  'extensions',
];

const USER_FIELDS = [
  'client-certificate-data',
  'client-certificate',
  'client-key-data',
  'client-key',
  'token',
  'tokenFile',
  'username',
  'password',
  'extensions',
];

function isKnown(fields: object | null, known: readonly string[]): boolean {
  return Object.keys(fields ?? {}).every((name) => known.includes(name));
}

class PlainCredentials implements Credentials {
  readonly #cluster: RawCluster;
  readonly #user: RawUser;
  readonly #folder: string;

  constructor(cluster: RawCluster, user: RawUser | null, folder: string) {
    this.#cluster = cluster;
    this.#user = user ?? {};
    this.#folder = folder;
  }

  getCurrentCluster() {
    const { server, 'proxy-url': proxyUrl } = this.#cluster;
    return { server, ...(proxyUrl === undefined ? {} : { proxyUrl }) };
  }

  getCurrentUser() {
    return {};
  }

  /** Files are read each time: they are rotated. */
  async applyToHTTPSOptions(options: RequestOptions): Promise<void> {
    const cluster = this.#cluster;
    const user = this.#user;
    const [ca, cert, key, fileToken] = await Promise.all([
      this.#read(cluster['certificate-authority-data'], cluster['certificate-authority']),
      this.#read(user['client-certificate-data'], user['client-certificate']),
      this.#read(user['client-key-data'], user['client-key']),
      this.#read(undefined, user.tokenFile),
    ]);
    if (ca !== undefined) options.ca = ca;
    if (cert !== undefined) options.cert = cert;
    if (key !== undefined) options.key = key;
    if (cluster['insecure-skip-tls-verify'] === true) options.rejectUnauthorized = false;
    if (cluster['tls-server-name'] !== undefined) options.servername = cluster['tls-server-name'];
    // A token file is rotated, so it is asked before the token beside it.
    const token = fileToken?.toString('utf8').trim() ?? user.token;
    if (token !== undefined && token !== '') options.headers = { Authorization: `Bearer ${token}` };
    if (user.username !== undefined) options.auth = `${user.username}:${user.password ?? ''}`;
  }

  async #read(data: string | undefined, file: string | undefined): Promise<Buffer | undefined> {
    if (data !== undefined && data !== '') return Buffer.from(data, 'base64');
    return file === undefined || file === '' ? undefined : readFile(resolve(this.#folder, file));
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
