/**
 * A real Kubernetes with real pods on this machine: API server, controller manager, scheduler, kube-proxy, CoreDNS, and a
 * kubelet with containerd for each node. All of it lives in one machine of its own (`init.sh`): mount, PID, network, IPC and
 * UTS namespaces that end with this process, however it ends, and with them every pod, mount, address and firewall rule.
 * What is left then, empty cgroups and the folder of its data, the janitor removes.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import type { Context } from '../debian.ts';
import type { ClusterEndpoints } from '../endpoints.ts';
import { EnvironmentError } from '../errors.ts';
import { choosePort } from '../ports.ts';
import type { RunFolder } from '../run-folder.ts';
import { kubectlWith, until, type Kubectl } from './api.ts';
import { lackingForCluster, parts } from './binaries.ts';
import { configuration, kubeconfig, nodeOf } from './configuration.ts';
import { leadTo } from './door.ts';
import { startJanitor } from './janitor.ts';
import { containerdAnswers, importImages } from './load.ts';
import { whyNotEnforced } from './network-policies.ts';

export interface Cluster extends AsyncDisposable, Omit<ClusterEndpoints, 'owner'> {}

export interface ClusterOptions extends Context {
  /** How many nodes; they share the machine. 1 by default, at most 5. */
  nodes?: number;
  /** Leaves data and logs at the end. */
  keep?: boolean;
}

/** How many volumes there are to claim. */
const VOLUMES = 12;

export async function startCluster(folder: RunFolder, options: ClusterOptions): Promise<Cluster> {
  const { report, signal } = options;
  const lacks = lackingForCluster();
  if (lacks.length > 0)
    throw new EnvironmentError(
      'WARREN_ENVIRONMENT_UNAVAILABLE',
      `a cluster: no Docker engine with kind is here, and without it this is missing: ${lacks.join('; ')}.`,
    );
  const made = await parts(options);
  const started = performance.now();
  const nodes = Array.from({ length: options.nodes ?? 1 }, (_, index) => nodeOf(index + 1));
  const data = folder.data('cluster');
  const cgroup = `warren-${process.pid}`;
  const enforcer = made.binds['network-policies'];
  write(data, configuration(nodes, cgroup, enforcer !== undefined));
  for (let volume = 1; volume <= VOLUMES; volume += 1)
    mkdirSync(join(data, 'lib/volumes', String(volume)), { recursive: true });

  await using stack = new AsyncDisposableStack();
  stack.use(startJanitor(cgroup, options.keep === true ? undefined : folder.path));
  const binds = Object.entries(made.binds).flatMap(([name, source]) => [source, `opt/${name}`]);
  const machine = stack.use(
    await folder.start({
      name: 'machine',
      command: [
        ...['unshare', '--net', '--uts', '--', 'bash', join(import.meta.dirname, 'init.sh')],
        ...[made.root, data, cgroup, ...binds],
      ],
    }),
  );
  const why = () => logs(data);
  await machine.ready(() => machine.log.includes('started'), signal);
  const unenforced = whyNotEnforced(machine.log);
  if (unenforced !== undefined) report('cluster', unenforced);
  const port = await choosePort('cluster', 16443, report);
  const door = leadTo({ path: join(data, 'door.sock') });
  door.listen(port, '127.0.0.1');
  await once(door, 'listening');
  stack.defer(() => {
    door.close();
  });
  const file = join(data, 'kubeconfig');
  writeFileSync(file, administrator(join(data, 'pki'), port), { mode: 0o600 });
  const kubectl = kubectlWith(made.kubectl, file, options);
  await until(async () => (await kubectl('get', '--raw', '/readyz')) === 'ok', {
    what: 'the API server is ready',
    timeoutMs: 120_000,
    signal,
    why,
  });
  report('cluster', `API server ready on port ${port} after ${seconds(started)}`);
  // Until it may read them, no pod reaches another.
  if (enforcer !== undefined)
    await kubectl('apply', '--server-side', `--filename=${manifest('network-policies')}`);
  const { id } = machine;
  if (id === undefined) throw new EnvironmentError('WARREN_ENVIRONMENT_START', 'the machine has ended');
  const reachable = { ...id, nodes: nodes.length };
  // The kubelet starts no pod without the pause image, and CoreDNS is a pod.
  await until(() => containerdAnswers(reachable), {
    what: 'containerd answers',
    timeoutMs: 60_000,
    signal,
    why,
  });
  for (const archive of made.images) {
    report(
      'cluster',
      `loading the images of ${archive
        .split('/')
        .at(-2)
        ?.replace(/-[0-9a-f]+$/, '')}`,
    );
    await importImages(reachable, archive);
  }
  await furnish(kubectl, data);
  await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=120s');
  await kubectl('rollout', 'status', 'deployment/coredns', '--namespace=kube-system', '--timeout=120s');
  report(
    'cluster',
    `${nodes.length} node${nodes.length === 1 ? '' : 's'} and DNS ready after ${seconds(started)}`,
  );
  const owned = stack.move();
  return {
    kubeconfig: file,
    machine: reachable,
    networkPolicies: enforcer !== undefined && unenforced === undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const manifest = (name: string) => join(import.meta.dirname, 'manifests', `${name}.yaml`);

const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

function write(data: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(data, 'config', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

function administrator(pki: string, port: number): string {
  const base64 = (name: string) => readFileSync(join(pki, name)).toString('base64');
  return kubeconfig({
    server: `https://127.0.0.1:${port}`,
    authority: { 'certificate-authority-data': base64('ca.crt') },
    user: { 'client-certificate-data': base64('admin.crt'), 'client-key-data': base64('admin.key') },
  });
}

/** What a cluster has beside what it is made of: DNS, and volumes to claim. */
async function furnish(kubectl: Kubectl, data: string): Promise<void> {
  const volumes = Array.from({ length: VOLUMES }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `volume-${index + 1}` },
    spec: {
      capacity: { storage: '10Gi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: 'standard',
      local: { path: `/var/lib/volumes/${index + 1}` },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'Exists' }] }],
        },
      },
    },
  }));
  writeFileSync(join(data, 'volumes.yaml'), volumes.map((volume) => stringify(volume)).join('---\n'));
  for (const file of [manifest('dns'), manifest('storage'), join(data, 'volumes.yaml')])
    await kubectl('apply', '--server-side', `--filename=${file}`);
}

/** The ends of all logs, for an error that says what does not come up. */
function logs(data: string): string {
  const names = [
    'etcd',
    'kube-apiserver',
    'kube-controller-manager',
    'containerd-1',
    'kubelet-1',
    'door',
    'network-policies',
  ];
  return names
    .map((name) => {
      const file = join(data, 'log', `${name}.log`);
      const tail = existsSync(file)
        ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-4).join('\n')
        : '';
      return `\n${name}:\n${tail}`;
    })
    .join('');
}
