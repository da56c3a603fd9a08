/** The shop on the cluster that runs: installed by the charts as they are, once, and asked as a customer or as kubectl would. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { currentCluster } from '@warren/environment';
import { stringify } from 'yaml';
import { forward, type Forwards } from '../../scripts/deploy/forward.ts';
import { chartTools, root } from '../support/helm.ts';

export const SYSTEM = 'warren-system';
export const SHOP = 'shop';
export const SERVICES = ['event-log', 'loyalty', 'notification', 'order', 'payment', 'user'] as const;

export interface ClusterShop {
  /** Gives back stdout; rejects with what kubectl wrote. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  helm(args: readonly string[], values?: object): Promise<string>;
  /** The API server's answer to a GET, as JSON; it leads to pods and services as a proxy. */
  raw<T>(path: string): Promise<T>;
  /** Applies what is given. */
  apply(...manifests: readonly object[]): Promise<void>;
  /** Resolves when every pod of it is ready. */
  settled(): Promise<void>;
  forward<Name extends string>(...names: readonly Name[]): Promise<Forwards<Name>>;
}

/** What the tests give the charts. */
export const values = {
  warren: { scope: { namespace: SHOP } },
  shop: {},
};

/** Installs what is not there yet: broker, database and mail server of k8s/base, the operator, the shop. */
export async function clusterShop(): Promise<ClusterShop> {
  const { kubeconfig } = currentCluster();
  // kubectl port-forward and the scripts take it from here.
  process.env['KUBECONFIG'] = kubeconfig;
  const tools = await chartTools({ kubeconfig });
  const kubectl: ClusterShop['kubectl'] = async (args, input) => {
    const { code, stdout, stderr } = await tools.kubectl(args, input === undefined ? {} : { input });
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const helm: ClusterShop['helm'] = async (args, given) => {
    const { code, stdout, stderr } = await tools.helm(args, given === undefined ? {} : { values: given });
    if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const settled = async () => {
    for (const [namespace, kind] of [
      [SYSTEM, 'statefulset'],
      [SHOP, 'statefulset'],
      [SYSTEM, 'deployment'],
      [SHOP, 'deployment'],
    ] as const)
      for (const name of (await kubectl(['get', kind, '--namespace', namespace, '--output=name'])).split(
        '\n',
      ))
        if (name !== '')
          await kubectl(['rollout', 'status', name, '--namespace', namespace, '--timeout=240s']);
  };
  const shop: ClusterShop = {
    kubectl,
    helm,
    settled,
    raw: async <T>(path: string) => JSON.parse(await kubectl(['get', '--raw', path])) as T,
    apply: async (...manifests) => {
      await kubectl(
        ['apply', '--server-side', '--force-conflicts', '--filename=-'],
        manifests.map((manifest) => stringify(manifest)).join('---\n'),
      );
    },
    forward: (...names) => forward('kubectl', SHOP, names),
  };
  await kubectl(['apply', '--kustomize', 'k8s/base']);
  await kubectl(['apply', '--server-side', '--force-conflicts', '--filename=charts/warren/crds']);
  for (const [chart, namespace] of [
    ['warren', SYSTEM],
    ['shop', SHOP],
  ] as const)
    await helm(
      [
        'upgrade',
        chart,
        `charts/${chart}`,
        '--install',
        '--namespace',
        namespace,
        '--wait',
        '--timeout=5m',
        '--reset-values',
      ],
      values[chart],
    );
  await settled();
  return shop;
}

/** A pod that may run where restricted Pod Security is enforced, of an image that is on every node. */
export const restrictedPod = (name: string, container: object, spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: SHOP, labels: { 'app.kubernetes.io/name': name } },
  spec: {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 1,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name,
        image: 'warren/order:0.1.0',
        imagePullPolicy: 'IfNotPresent',
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        ...container,
      },
    ],
    ...spec,
  },
});

export const fileOf = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
