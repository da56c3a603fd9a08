/** The real helm and kubectl, for the tests of charts and manifests. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { endingWithUs, helmBinary } from '@warren/environment';
import { testKubernetes } from '@warren/environment/testing';
import { stringify } from 'yaml';
import { parseManifests, type Manifest } from './manifests.ts';

export const root = join(import.meta.dirname, '../..');
export const charts = { warren: 'charts/warren', service: 'charts/service', shop: 'charts/shop' } as const;
export type Chart = keyof typeof charts;

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end, in the repository. Never rejects because of its exit code. */
export function execute(
  command: string,
  args: readonly string[],
  options: { input?: string; env?: Record<string, string> } = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // A helm that waits would outlive a run that is killed by minutes.
    const child = spawn(...endingWithUs(command, ...args), {
      cwd: root,
      env: { ...process.env, ...options.env },
    });
    const outcome: Outcome = { code: -1, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (outcome.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (outcome.stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...outcome, code: code ?? -1 }));
    child.stdin.on('error', () => undefined); // it ended before it had read everything
    child.stdin.end(options.input ?? '');
  });
}

/** Like `execute`; rejects with what the command wrote when it fails. */
export async function succeed(...[command, args, options]: Parameters<typeof execute>): Promise<string> {
  const { code, stdout, stderr } = await execute(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${stderr}\n${stdout}`);
  return stdout;
}

export interface Tools {
  helm(args: readonly string[], options?: { values?: object; input?: string }): Promise<Outcome>;
  /** Renders a chart as a release of that name. Rejects with helm's words when it refuses. */
  template(
    chart: Chart,
    values?: object,
    options?: { namespace?: string; release?: string },
  ): Promise<Manifest[]>;
  kubectl(args: readonly string[], options?: { input?: string; token?: string }): Promise<Outcome>;
  /** Asks the API server whether it would take these. Gives back its warnings; rejects when it would not. */
  dryRun(manifests: readonly Manifest[]): Promise<string>;
  kubeconfig: string;
  helmPath: string;
}

/** Helm is built from its Go module once a machine: a minute on two cores. On the API server of the environment unless told otherwise. */
export async function chartTools(on?: { kubeconfig: string }): Promise<Tools> {
  const helmPath = await helmBinary();
  const { kubeconfig } = on ?? (await testKubernetes());
  const env = { KUBECONFIG: kubeconfig, HELM_NAMESPACE: 'default' };
  const helm: Tools['helm'] = (args, { values, input } = {}) => {
    const given = values === undefined ? args : [...args, '--values', '-'];
    return execute(helmPath, given, {
      env,
      // JSON, since helm takes an `on` of YAML for true.
      input: values === undefined ? (input ?? '') : JSON.stringify(values),
    });
  };
  const kubectl: Tools['kubectl'] = (args, { input, token } = {}) =>
    execute('kubectl', token === undefined ? args : [`--token=${token}`, ...args], {
      env,
      ...(input === undefined ? {} : { input }),
    });
  return {
    helm,
    kubectl,
    kubeconfig,
    helmPath,
    async template(chart, values = {}, { namespace = 'shop', release = chart } = {}) {
      const { code, stdout, stderr } = await helm(
        ['template', release, charts[chart], '--namespace', namespace, ...ofTheCluster],
        { values },
      );
      if (code !== 0) throw new Error(stderr);
      return parseManifests(stdout).map((manifest) => inNamespace(manifest, namespace));
    },
    async dryRun(manifests) {
      const { code, stderr } = await kubectl(
        [
          'apply',
          '--dry-run=server',
          '--server-side',
          '--force-conflicts',
          '--validate=strict',
          '--filename=-',
        ],
        { input: manifests.map((manifest) => stringify(manifest)).join('---\n') },
      );
      if (code !== 0) throw new Error(stderr);
      return stderr;
    },
  };
}

/** What helm asks an API server for, and does not know without one. */
const ofTheCluster = [
  ...['--kube-version', '1.36.0'],
  ...['--api-versions', 'admissionregistration.k8s.io/v1/MutatingAdmissionPolicy'],
];

const clusterScoped = new Set([
  'APIService',
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'EventBroker',
  'MutatingAdmissionPolicy',
  'MutatingAdmissionPolicyBinding',
  'Namespace',
]);

/** What helm does at an install: what names no namespace goes into the release's. */
function inNamespace(manifest: Manifest, namespace: string): Manifest {
  if (clusterScoped.has(manifest.kind) || manifest.metadata.namespace !== undefined) return manifest;
  return { ...manifest, metadata: { ...manifest.metadata, namespace } };
}
