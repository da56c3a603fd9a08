/** A namespace with its broker, and who is Ready in it since when. */
import { eventually } from '@warren/environment/testing';
import { createReflector, silentLog } from '@warren/controller';
import type { EventSubscriptionSpec } from '@warren/topology';
import { plainSpec } from '@warren/topology/testing';
import { conditionOf } from '../../operator/src/conditions.ts';
import type { SubscriptionResource } from '../../operator/src/resources.ts';
import type { KubernetesWorld } from '../../operator/src/testing/kubernetes-world.ts';
import { inParallel } from './measuring.ts';

export const EVENTS = ['OrderPlaced', 'PaymentApproved'];

/** As the API server completes what `create` asks for. */
export function specOf(): EventSubscriptionSpec {
  return { ...plainSpec, events: EVENTS, deletionPolicy: 'Delete' };
}

/** As `kubectl` does. */
export async function create(world: KubernetesWorld, names: Iterable<string>): Promise<void> {
  const { namespace, subscriptions } = world;
  await inParallel(names, async (name) => {
    const resource = {
      metadata: { name, namespace },
      spec: { brokerRef: { name: namespace }, events: EVENTS, deletionPolicy: 'Delete' },
    } as unknown as SubscriptionResource;
    await subscriptions.create(resource, { fieldValidation: 'Strict' });
  });
}

export interface Readiness extends AsyncDisposable {
  /** Resolves when so many are Ready. */
  count(wanted: number): Promise<void>;
  /** When this one became Ready, in milliseconds of `performance.now()`. */
  of(name: string): Promise<number>;
}

/** Followed by a watch, which costs the API server next to nothing. */
export async function watchReadiness({ subscriptions, namespace }: KubernetesWorld): Promise<Readiness> {
  const readyAt = new Map<string, number>();
  const reflector = createReflector({ resource: subscriptions, namespace, log: silentLog });
  reflector.onChange(({ object: { metadata, status } }) => {
    const isReady = conditionOf(status?.conditions, 'Ready')?.status === 'True';
    if (!isReady) readyAt.delete(metadata.name);
    else if (!readyAt.has(metadata.name)) readyAt.set(metadata.name, performance.now());
  });
  reflector.start();
  await reflector.synced;
  const patience = { timeoutMs: 1_800_000, intervalMs: 5 };
  return {
    count: async (wanted) => {
      await eventually(() => readyAt.size >= wanted, patience);
    },
    of: async (name) => {
      await eventually(() => readyAt.has(name), patience);
      return readyAt.get(name) ?? NaN;
    },
    [Symbol.asyncDispose]: () => reflector.stop(),
  };
}
