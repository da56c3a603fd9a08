/** The configuration of everything that runs in the cluster's machine. Paths are those inside it. */
import { stringify } from 'yaml';
import { QUEUE } from './network-policies.ts';
import { PAUSE } from './stand-ins.ts';

/** A node: a kubelet with a containerd of its own. All nodes share the machine, its network and its file system. */
export interface Node {
  name: string;
  /** 1 for the first. */
  number: number;
  address: string;
}

export const nodeOf = (number: number): Node => ({
  name: `node-${number}`,
  number,
  address: `10.200.0.${number}`,
});

export const API_SERVER = 'https://10.200.0.1:6443';
const SERVICES = '10.96.0.0/16';
const PODS = '10.244.0.0/16';
const DNS = '10.96.0.10';
export const DOOR = '/var/door.sock';

/** Folder and file of a node's containerd. */
export const containerd = (node: Node) => ({
  config: `/var/config/containerd-${node.number}.toml`,
  socket: `/run/containerd-${node.number}.sock`,
  network: `/var/config/network-${node.number}`,
});

/** Who asks the API server, beside the nodes. */
const CLIENTS = ['controller-manager', 'scheduler', 'proxy', 'network-policies'];

/** Files by their name in `/var/config`. @param policies Whether there is what enforces NetworkPolicies. */
export function configuration(
  nodes: readonly Node[],
  cgroup: string,
  policies: boolean,
): Record<string, string> {
  const files: Record<string, string> = {
    'components.sh': components(nodes, policies),
    'proxy.yaml': stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'nftables',
      clientConnection: { kubeconfig: '/var/config/proxy.kubeconfig' },
      clusterCIDR: PODS,
      // What these would set belongs to the machine around us.
      conntrack: { maxPerCore: 0, min: 0 },
    }),
  };
  for (const name of [...CLIENTS, ...nodes.map((node) => node.name)])
    files[`${name}.kubeconfig`] = kubeconfig({
      server: API_SERVER,
      authority: { 'certificate-authority': '/var/pki/ca.crt' },
      user: { 'client-certificate': `/var/pki/${name}.crt`, 'client-key': `/var/pki/${name}.key` },
    });
  for (const node of nodes) {
    files[`containerd-${node.number}.toml`] = containerdConfig(node);
    files[`network-${node.number}/10-pods.conflist`] = JSON.stringify(network(node));
    files[`kubelet-${node.number}.yaml`] = stringify(kubelet(node, cgroup));
  }
  return files;
}

export function kubeconfig(of: { server: string; authority: object; user: object }): string {
  const name = 'warren';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: of.server, ...of.authority } }],
    users: [{ name, user: of.user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  });
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

function components(nodes: readonly Node[], policies: boolean): string {
  const words = (...command: string[]) => command.map(quoted).join(' ');
  const line = (name: string, ...command: string[]) => words('component', name, ...command);
  const pki = (file: string) => `/var/pki/${file}`;
  const gates = '--feature-gates=HPAScaleToZero=true';
  return [
    line(
      'etcd',
      '/opt/etcd/etcd',
      ...['--data-dir=/var/lib/etcd', '--unsafe-no-fsync', '--log-level=warn'],
      ...['--listen-client-urls=http://127.0.0.1:2379', '--advertise-client-urls=http://127.0.0.1:2379'],
      ...['--listen-peer-urls=http://127.0.0.1:2380', '--initial-advertise-peer-urls=http://127.0.0.1:2380'],
      '--initial-cluster=default=http://127.0.0.1:2380',
    ),
    line(
      'kube-apiserver',
      '/opt/control-plane/kube-apiserver',
      '--etcd-servers=http://127.0.0.1:2379',
      ...['--secure-port=6443', '--bind-address=0.0.0.0', '--advertise-address=10.200.0.1'],
      ...[`--tls-cert-file=${pki('apiserver.crt')}`, `--tls-private-key-file=${pki('apiserver.key')}`],
      `--client-ca-file=${pki('ca.crt')}`,
      ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction'],
      `--service-account-key-file=${pki('service-account.pub')}`,
      `--service-account-signing-key-file=${pki('service-account.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      ...[`--service-cluster-ip-range=${SERVICES}`, '--allow-privileged=true', '--profiling=false'],
      '--kubelet-preferred-address-types=InternalIP',
      ...[`--kubelet-client-certificate=${pki('admin.crt')}`, `--kubelet-client-key=${pki('admin.key')}`],
      // Aggregated API servers, such as the operator's external metrics, know by these who asks.
      `--requestheader-client-ca-file=${pki('front-proxy-ca.crt')}`,
      '--requestheader-allowed-names=front-proxy-client',
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      `--proxy-client-cert-file=${pki('front-proxy-client.crt')}`,
      `--proxy-client-key-file=${pki('front-proxy-client.key')}`,
      gates,
    ),
    line(
      'kube-controller-manager',
      '/opt/control-plane/kube-controller-manager',
      '--kubeconfig=/var/config/controller-manager.kubeconfig',
      '--use-service-account-credentials=true',
      ...[
        `--root-ca-file=${pki('ca.crt')}`,
        `--service-account-private-key-file=${pki('service-account.key')}`,
      ],
      `--requestheader-client-ca-file=${pki('front-proxy-ca.crt')}`,
      ...['--cert-dir=/run/controller-manager', '--bind-address=127.0.0.1', '--leader-elect=false'],
      // A node that is gone is noticed as fast as a test can wait for it.
      ...['--node-monitor-grace-period=20s', '--profiling=false', gates],
    ),
    line(
      'kube-scheduler',
      '/opt/node/kube-scheduler',
      '--kubeconfig=/var/config/scheduler.kubeconfig',
      ...[
        '--cert-dir=/run/scheduler',
        '--bind-address=127.0.0.1',
        '--leader-elect=false',
        '--profiling=false',
      ],
    ),
    line(
      'kube-proxy',
      '/opt/node/kube-proxy',
      '--config=/var/config/proxy.yaml',
      '--hostname-override=node-1',
    ),
    ...(policies
      ? [
          words(
            ...['enforce_policies', PODS, String(QUEUE)],
            ...['/opt/network-policies/network-policies', `-queue=${QUEUE}`],
            '-kubeconfig=/var/config/network-policies.kubeconfig',
          ),
        ]
      : []),
    line('door', '/opt/nodejs/node', '/opt/cluster/door.ts', DOOR, '6443'),
    ...nodes.flatMap((node) => [
      `node ${node.name} ${node.address}`,
      line(
        `containerd-${node.number}`,
        '/usr/bin/containerd',
        `--config=${containerd(node).config}`,
        '--log-level=warn',
      ),
      line(
        `kubelet-${node.number}`,
        '/opt/node/kubelet',
        `--config=/var/config/kubelet-${node.number}.yaml`,
        `--kubeconfig=/var/config/${node.name}.kubeconfig`,
        `--hostname-override=${node.name}`,
        `--node-ip=${node.address}`,
        `--root-dir=/var/lib/kubelet/${node.number}`,
        `--cert-dir=/var/lib/kubelet/${node.number}/pki`,
      ),
    ]),
    '',
  ].join('\n');
}

function containerdConfig(node: Node): string {
  const { socket, network } = containerd(node);
  return `version = 2
root = "/var/lib/containerd/${node.number}"
state = "/run/containerd-${node.number}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE}"
  # A machine inside another one may not lower the score of a process; runc would die of the attempt.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${network}"
`;
}

/**
 * Each pod has a cable of its own to the machine. On a bridge, the answer of a pod to another one on the same bridge
 * would go past the rules of kube-proxy, and come from an address that the asking pod has not asked.
 */
const network = (node: Node) => ({
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'ptp',
      ipMasq: false,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: `10.244.${node.number}.0/24` }]],
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: `/run/addresses-${node.number}`,
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
});

const kubelet = (node: Node, cgroup: string) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  address: node.address,
  healthzBindAddress: node.address,
  containerRuntimeEndpoint: `unix://${containerd(node).socket}`,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${cgroup}/${node.name}`,
  failCgroupV1: false,
  failSwapOn: false,
  clusterDNS: [DNS],
  clusterDomain: 'cluster.local',
  resolvConf: '/etc/resolv.conf',
  authentication: {
    anonymous: { enabled: false },
    x509: { clientCAFile: '/var/pki/ca.crt' },
    webhook: { enabled: true },
  },
  authorization: { mode: 'Webhook' },
  podLogsDir: `/var/log/pods-${node.number}`,
  volumePluginDir: `/var/lib/kubelet/${node.number}/volume-plugins`,
  registerWithTaints: [],
  // A node for tests evicts nobody because the disk of the machine is rather full.
  evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  imageGCHighThresholdPercent: 100,
  imageGCLowThresholdPercent: 99,
  maxPods: 110,
  serializeImagePulls: false,
  shutdownGracePeriod: '0s',
});
