/** For tests: subscriptions of a namespace get their finalizer at their creation, by the policy of charts/warren. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ServerError, type KubernetesObject, type ResourceType } from '@warren/controller';
import { parseAllDocuments } from 'yaml';
import type { SubscriptionResource } from '../resources.ts';
import { hasFinalizer } from '../subscriptions/claims.ts';
import type { KubernetesWorld } from './kubernetes-world.ts';
import { ROOT } from './operator-process.ts';

const GROUP = 'admissionregistration.k8s.io';

function typeOf(kind: string, plural: string): ResourceType {
  return { group: GROUP, version: 'v1', kind, plural, namespaced: false };
}

const TYPES = [
  typeOf('MutatingAdmissionPolicy', 'mutatingadmissionpolicies'),
  typeOf('MutatingAdmissionPolicyBinding', 'mutatingadmissionpolicybindings'),
];

/** Resolves when the policy is in force. Disposed of, it is gone. @param helm the path of the binary */
export async function finalizersAtCreation(
  { cluster, namespace, subscriptions }: Pick<KubernetesWorld, 'cluster' | 'namespace' | 'subscriptions'>,
  helm: string,
): Promise<AsyncDisposable> {
  const applied: { kind: string; name: string }[] = [];
  const typeFor = (wanted: string) => {
    const type = TYPES.find(({ kind }) => kind === wanted);
    if (type === undefined) throw new TypeError(`the chart's admission policy has a ${wanted}`);
    return type;
  };
  for (const object of await rendered(namespace, helm)) {
    await cluster.resource(typeFor(object.kind)).apply(object);
    applied.push({ kind: object.kind, name: object.metadata.name });
  }
  const probe = {
    metadata: { name: 'probe', namespace },
    spec: { brokerRef: { name: namespace }, events: ['OrderPlaced'] },
  } as unknown as SubscriptionResource;
  const inForce = async () => {
    try {
      return hasFinalizer(await subscriptions.create(probe, { dryRun: true }));
    } catch (error) {
      // An API server that got the kind some seconds ago refuses to create what a policy is for (ADR 0030).
      if (error instanceof ServerError) return false;
      throw error;
    }
  };
  while (!(await inForce())) await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    [Symbol.asyncDispose]: async () => {
      for (const { kind, name } of applied.reverse()) await cluster.resource(typeFor(kind)).delete({ name });
    },
  };
}

type Rendered = KubernetesObject & { kind: string };

async function rendered(namespace: string, helm: string): Promise<Rendered[]> {
  const { stdout } = await promisify(execFile)(helm, [
    ...['template', 'test', join(ROOT, 'charts', 'warren'), '--namespace', namespace],
    ...['--show-only', 'templates/admission.yaml'],
    ...['--kube-version', '1.36.0', '--api-versions', `${GROUP}/v1/MutatingAdmissionPolicy`],
  ]);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
}
