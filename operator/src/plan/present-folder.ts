/**
 * The present without an API server: what an operator in folder mode has in force (`--state`), or nothing. The manifests were
 * validated by the same CRDs before (ADR 0006), so what they say is what would be stored.
 */
import { join } from 'node:path';
import { readKeys } from '../folder/files.ts';
import { idOf } from '../folder/load.ts';
import type { LoadedResource } from '../folder/load.ts';
import { Records } from '../folder/records.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import type { SecretRef } from '../source.ts';
import type { Planned } from './plan.ts';
import type { AnyResource, Present } from './present.ts';

/** @param state the operator's state folder; without it nothing is known of the present */
export async function presentOfFolder(state: string | undefined, namespace = 'default'): Promise<Present> {
  const inForce = new Map<string, AnyResource>();
  if (state !== undefined) {
    for (const { resource } of await new Records(state).load(() => undefined)) {
      const { name, namespace: inside = 'default' } = resource.metadata;
      const key = resource.kind === 'EventBroker' ? name : `${inside}/${name}`;
      inForce.set(idOf(resource.kind ?? '', key), resource);
    }
  }
  return {
    where:
      state === undefined
        ? 'No cluster: validated by the CRDs of this version, and nothing is known of what was applied before.'
        : `No cluster: validated by the CRDs of this version, compared with what is in force in ${state}.`,
    scales: false,
    namespace,
    inForce: (id) => inForce.get(id),
    preview: ({ kind, key, resource }: LoadedResource) =>
      Promise.resolve({ resource, current: inForce.get(idOf(kind, key)) } as unknown as Planned<AnyResource>),
    // The folder that its operator works in is not to be seen here: the uid tells.
    clusterId: () => Promise.resolve(undefined),
    broker: (name) => Promise.resolve(inForce.get(idOf('EventBroker', name)) as BrokerResource | undefined),
    subscriptionsIn: (wanted) =>
      Promise.resolve(
        [...inForce.values()].filter(
          (one): one is SubscriptionResource =>
            one.kind === 'EventSubscription' && (one.metadata.namespace ?? 'default') === wanted,
        ),
      ),
    readSecret: async ({ namespace: inside, name }: SecretRef) => {
      if (state === undefined) return undefined;
      const entries = await readKeys(join(state, 'secrets', inside, name));
      if (entries === undefined) return undefined;
      return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, value.trimEnd()]));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
