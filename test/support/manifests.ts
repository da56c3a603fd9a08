/** What the tests of charts and manifests look for in Kubernetes objects. */
import { parseAllDocuments } from 'yaml';

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec?: Record<string, unknown>;
  data?: Record<string, string>;
}

export interface Container {
  name: string;
  image: string;
  args?: string[];
  env?: { name: string; value?: string }[];
  ports?: { name: string; containerPort: number }[];
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  securityContext?: {
    allowPrivilegeEscalation?: boolean;
    readOnlyRootFilesystem?: boolean;
    capabilities?: { drop?: string[]; add?: string[] };
  };
  volumeMounts?: { name: string; mountPath: string }[];
}

interface Probe {
  httpGet?: { path: string };
  tcpSocket?: object;
}

export interface PodTemplate {
  metadata: { labels?: Record<string, string> };
  spec: {
    automountServiceAccountToken?: boolean;
    serviceAccountName?: string;
    terminationGracePeriodSeconds?: number;
    securityContext?: { runAsNonRoot?: boolean; runAsUser?: number; seccompProfile?: { type?: string } };
    containers: Container[];
    volumes?: { name: string; secret?: { secretName: string } }[];
    topologySpreadConstraints?: { topologyKey: string }[];
  };
}

/** The objects of a YAML stream, read as Kubernetes reads them (YAML 1.1: 0440 is octal). */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { version: '1.1' })
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as Manifest | null;
    })
    .filter((manifest) => manifest !== null);
}

export const ofKind = (manifests: readonly Manifest[], kind: string): Manifest[] =>
  manifests.filter((manifest) => manifest.kind === kind);

export const nameOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.name}`;

/** Every pod that the manifests would make, with the object that makes it. */
export function podTemplates(manifests: readonly Manifest[]): { owner: Manifest; pod: PodTemplate }[] {
  return manifests.flatMap((owner) => {
    if (owner.kind === 'Pod') {
      const { metadata, spec } = owner;
      return [{ owner, pod: { metadata, spec } as unknown as PodTemplate }];
    }
    const template = owner.spec?.['template'] as PodTemplate | undefined;
    return template === undefined ? [] : [{ owner, pod: template }];
  });
}

/** What keeps a pod from being restricted, read-only and bounded; empty when nothing does. */
export function looseEnds({ spec }: PodTemplate): string[] {
  const ends: string[] = [];
  const must = (held: boolean, sentence: string) => {
    if (!held) ends.push(sentence);
  };
  must(spec.securityContext?.runAsNonRoot === true, 'may run as root');
  must((spec.securityContext?.runAsUser ?? 0) > 0, 'names no user');
  must(spec.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'has no seccomp profile');
  for (const { name, securityContext, resources } of spec.containers) {
    must(securityContext?.allowPrivilegeEscalation === false, `${name} may gain privileges`);
    must(securityContext?.readOnlyRootFilesystem === true, `${name} may write its root file system`);
    must(securityContext?.capabilities?.drop?.includes('ALL') === true, `${name} keeps capabilities`);
    must(securityContext?.capabilities?.add === undefined, `${name} adds capabilities`);
    must(resources?.requests?.['memory'] !== undefined, `${name} asks for no memory`);
    must(resources?.requests?.['cpu'] !== undefined, `${name} asks for no CPU`);
    must(resources?.limits?.['memory'] !== undefined, `${name} has no limit of memory`);
  }
  return ends;
}

/** The pods that a selector selects. */
export function selected(
  manifests: readonly Manifest[],
  selector: Readonly<Record<string, string>>,
  namespace: string | undefined,
): Manifest[] {
  return podTemplates(manifests)
    .filter(
      ({ owner, pod }) =>
        owner.metadata.namespace === namespace &&
        Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value),
    )
    .map(({ owner }) => owner);
}

/** The labels that an object selects pods by. */
export function selectorOf({ kind, spec }: Manifest): Record<string, string> {
  const key = kind === 'NetworkPolicy' ? 'podSelector' : 'selector';
  const selector = spec?.[key] as
    { matchLabels?: Record<string, string> } | Record<string, string> | undefined;
  if (selector === undefined) throw new TypeError(`a ${kind} without a selector`);
  return (
    kind === 'Service' ? selector : (selector as { matchLabels: Record<string, string> }).matchLabels
  ) as Record<string, string>;
}
