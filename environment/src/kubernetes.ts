/**
 * A real Kubernetes API server with etcd and the controller manager (namespaces, garbage collection, deployments,
 * autoscaling), without nodes: what an operator talks to.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { succeeds } from './command.ts';
import type { Context } from './debian.ts';
import type { Contained } from './contained.ts';
import { EnvironmentError } from './errors.ts';
import { frontProxyFlags } from './front-proxy.ts';
import { goBinaries, pinnedVersion } from './go.ts';
import { choosePort, freePort } from './ports.ts';
import { accepts } from './rabbitmq.ts';
import type { RunFolder } from './run-folder.ts';

export interface Kubernetes extends AsyncDisposable {
  /** Path of a kubeconfig of a cluster administrator. */
  kubeconfig: string;
  /** Ends the API server in order, as far as it does so within 5 s. */
  stop(): Promise<void>;
  /** SIGKILL to the API server. */
  kill(): Promise<void>;
  /** Starts the API server again, on the same port, with what etcd has. Resolves when it is ready. */
  resume(): Promise<void>;
}

interface Binaries {
  etcd: string;
  apiServer: string;
  /** Absent where `KUBEBUILDER_ASSETS` has none and there is no Go. */
  controllerManager: string | undefined;
}

export async function startKubernetes(folder: RunFolder, context: Context): Promise<Kubernetes> {
  const { report, signal } = context;
  const binaries = await findBinaries(context);
  const started = performance.now();
  const data = folder.data('kubernetes');
  const at = (file: string) => join(data, file);
  const token = randomBytes(24).toString('hex');
  const port = await choosePort('kubernetes', 6443, report);
  const [etcdPort, etcdPeerPort, managerPort] = [await freePort(), await freePort(), await freePort()];
  writeCredentials(at, token);
  const frontProxy = await frontProxyFlags(at);
  writeKubeconfig(at('kubeconfig'), port, token, at('apiserver.crt'));

  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(
    await folder.start({
      name: 'etcd',
      command: [
        binaries.etcd,
        ...['--data-dir', at('etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
        ...['--listen-client-urls', local(etcdPort), '--advertise-client-urls', local(etcdPort)],
        ...['--listen-peer-urls', local(etcdPeerPort), '--initial-advertise-peer-urls', local(etcdPeerPort)],
        ...['--initial-cluster', `default=${local(etcdPeerPort)}`],
      ],
    }),
  );
  await etcd.ready(() => accepts(etcdPort), signal);
  let apiServer: Contained | undefined;
  stack.defer(() => apiServer?.[Symbol.asyncDispose]());
  const startApiServer = async () => {
    apiServer = await folder.start({
      name: 'kube-apiserver',
      command: [
        binaries.apiServer,
        `--etcd-servers=${local(etcdPort)}`,
        ...[`--secure-port=${port}`, '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1'],
        '--endpoint-reconciler-type=none',
        // Makes a certificate of its own in there, which the kubeconfig trusts.
        `--cert-dir=${data}`,
        ...[`--token-auth-file=${at('tokens.csv')}`, '--authorization-mode=RBAC', '--anonymous-auth=true'],
        ...[
          `--service-account-key-file=${at('service-account.pub')}`,
          '--service-account-issuer=https://kubernetes.default.svc',
        ],
        `--service-account-signing-key-file=${at('service-account.key')}`,
        ...['--service-cluster-ip-range=10.96.0.0/16', '--allow-privileged=true', '--profiling=false'],
        ...frontProxy,
      ],
    });
    await apiServer.ready(() => isReady(at('apiserver.crt'), port, token), signal);
  };
  await startApiServer();
  if (binaries.controllerManager === undefined) {
    report(
      'kubernetes',
      'no kube-controller-manager in KUBEBUILDER_ASSETS, and no Go to build it: namespaces stay in Terminating, no garbage collection',
    );
  } else {
    stack.use(
      await folder.start({
        name: 'kube-controller-manager',
        command: [
          binaries.controllerManager,
          ...[`--kubeconfig=${at('kubeconfig')}`, `--secure-port=${managerPort}`, '--bind-address=127.0.0.1'],
          ...[`--cert-dir=${at('controller-manager')}`, '--leader-elect=false', '--profiling=false'],
          ...[
            `--service-account-private-key-file=${at('service-account.key')}`,
            `--root-ca-file=${at('apiserver.crt')}`,
          ],
          '--horizontal-pod-autoscaler-sync-period=5s',
        ],
      }),
    );
  }
  report('kubernetes', `ready on port ${port} after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  const owned = stack.move();
  return {
    kubeconfig: at('kubeconfig'),
    // It would wait for open watches for a minute.
    stop: async () => apiServer?.stop(5_000),
    kill: async () => apiServer?.kill(),
    resume: startApiServer,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const local = (port: number) => `http://127.0.0.1:${port}`;

export async function findBinaries(
  context: Context,
  assets = process.env['KUBEBUILDER_ASSETS'],
): Promise<Binaries> {
  if (assets) {
    const [etcd, apiServer, controllerManager] = ['etcd', 'kube-apiserver', 'kube-controller-manager'].map(
      (name) => {
        const path = join(assets, name);
        return existsSync(path) ? path : undefined;
      },
    );
    if (etcd === undefined || apiServer === undefined) {
      throw new EnvironmentError(
        'WARREN_ENVIRONMENT_UNAVAILABLE',
        `KUBEBUILDER_ASSETS=${assets} holds no ${etcd === undefined ? 'etcd' : 'kube-apiserver'}`,
      );
    }
    context.report('kubernetes', `using the binaries in KUBEBUILDER_ASSETS=${assets}`);
    return {
      etcd,
      apiServer,
      controllerManager: controllerManager ?? (await builtControllerManager(context)),
    };
  }
  const [etcd, built] = await Promise.all([
    builtEtcd(context),
    kubernetesBinaries(
      'kubernetes',
      ['kube-apiserver', 'kube-controller-manager'],
      '7 min on 2 cores',
      context,
    ),
  ]);
  return {
    etcd,
    apiServer: join(built, 'kube-apiserver'),
    controllerManager: join(built, 'kube-controller-manager'),
  };
}

/** Debian's 3.4 is too old for an API server to answer lists out of its cache: those of 10,000 objects took 15 s. */
async function builtEtcd(context: Context): Promise<string> {
  const built = await goBinaries({
    module: 'etcd',
    sources: ['main.go'],
    packages: ['.'],
    about: '1 min',
    ...context,
  });
  return join(built, 'etcd');
}

/** Commands of Kubernetes, which say which version they are. @param module of `environment/go` */
export const kubernetesBinaries = (
  module: 'kubernetes' | 'node',
  commands: readonly string[],
  about: string,
  context: Context,
): Promise<string> =>
  goBinaries({
    module,
    packages: commands.map((command) => `k8s.io/kubernetes/cmd/${command}`),
    ldflags: `-X k8s.io/component-base/version.gitVersion=${pinnedVersion(module, 'k8s.io/kubernetes')}`,
    about,
    ...context,
  });

/** setup-envtest brings none; without Go there is none, and the start says what does not work then. */
async function builtControllerManager(context: Context): Promise<string | undefined> {
  if (!(await succeeds('go', ['version']))) return undefined;
  context.report('kubernetes', 'KUBEBUILDER_ASSETS has no kube-controller-manager: building it');
  return join(
    await kubernetesBinaries('kubernetes', ['kube-controller-manager'], '5 min on 2 cores', context),
    'kube-controller-manager',
  );
}

function writeCredentials(at: (file: string) => string, token: string): void {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  writeFileSync(at('service-account.key'), privateKey, { mode: 0o600 });
  writeFileSync(at('service-account.pub'), publicKey);
  writeFileSync(at('tokens.csv'), `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
}

/** Every client that reads kubeconfig files can use it; the token is the only credential. */
function writeKubeconfig(file: string, port: number, token: string, authority: string): void {
  const name = 'warren';
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [
      { name, cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority': authority } },
    ],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  };
  writeFileSync(file, stringify(config), { mode: 0o600 });
}

/** `/readyz` over the certificate that the API server has made for itself. */
async function isReady(authority: string, port: number, token: string): Promise<boolean> {
  if (!existsSync(authority)) return false;
  const ca = readFileSync(authority, 'utf8');
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: '127.0.0.1',
        port,
        path: '/readyz',
        ca,
        headers: { authorization: `Bearer ${token}` },
        timeout: 5_000,
        agent: false,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.once('timeout', () => call.destroy(new Error('no answer')));
    call.once('error', reject);
    call.end();
  });
}
