/**
 * Whose objects are whose. A subscription that has the finalizer and a status has claimed its names on the broker: what exists
 * under them is ours, and a restart finds that out without any memory. The finalizer alone is no claim, for an admission policy
 * sets it at creation (ADR 0030): only who has looked at the broker leaves it beside a status, and whoever says something of a
 * subscription that has not claimed its names takes it off. Names cannot collide among subscriptions: neither a namespace nor a
 * subscription's name has a dot, and one that had (its CRD was without the rule) gets nothing. A queue that Warren made before
 * (it is in one of Warren's policies) is claimed again by a subscription of the same name: it was retained, its resource was
 * lost, or the operator ended before it had said anything.
 */
import type { Subscription } from '@warren/topology';
import { ADOPT_ANNOTATION, FINALIZER } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { Collection } from '../source.ts';

/** An EventPublisher, too. */
type Named = Pick<SubscriptionResource, 'metadata'>;

export function hasFinalizer({ metadata }: Named): boolean {
  return metadata.finalizers?.includes(FINALIZER) === true;
}

export function isClaimed(resource: Pick<SubscriptionResource, 'metadata' | 'status'>): boolean {
  return hasFinalizer(resource) && resource.status !== undefined;
}

/** It has its finalizer from its creation, and nobody has looked yet whether its names are free. */
export function isUntouched(resource: Pick<SubscriptionResource, 'metadata' | 'status'>): boolean {
  return hasFinalizer(resource) && resource.status === undefined;
}

/** Whether the first object that is made tells by its dead-letter key whose it is, so that nothing has to be written before. */
export function tellsItsOwner({ spec }: Pick<SubscriptionResource, 'spec'>): boolean {
  return spec.queue.type === 'quorum' && spec.delivery.ordering !== 'PerKey';
}

/**
 * Who has looked, found the names free and is making its objects, but has no status yet: in the life of this process. After a
 * crash it is looked again.
 */
export class Claiming {
  readonly #uids = new Map<string, string | undefined>();

  add(resource: SubscriptionResource): void {
    this.#uids.set(keyOfBound(resource), resource.metadata.uid);
  }

  has(resource: SubscriptionResource): boolean {
    const key = keyOfBound(resource);
    return this.#uids.has(key) && this.#uids.get(key) === resource.metadata.uid;
  }

  forget(key: string): void {
    this.#uids.delete(key);
  }
}

export function mayAdopt({ metadata }: SubscriptionResource): boolean {
  return metadata.annotations?.[ADOPT_ANNOTATION] === 'true';
}

export function isDeleting({ metadata }: Named): boolean {
  return metadata.deletionTimestamp !== undefined;
}

export function namespaceOf({ metadata }: Named): string {
  return metadata.namespace ?? 'default';
}

/** The part of it that the broker is concerned with. */
export function subscriptionOf(resource: SubscriptionResource): Subscription {
  return { namespace: namespaceOf(resource), name: resource.metadata.name, spec: resource.spec };
}

export function keyOfBound(resource: Named): string {
  return `${namespaceOf(resource)}/${resource.metadata.name}`;
}

/** As it was last written or heard of; as it is here where it is gone. */
export function newestOf<T extends Named>(collection: Pick<Collection<T>, 'get'>, resource: T): T {
  return collection.get(keyOfBound(resource)) ?? resource;
}

/** Every object of a subscription is called `namespace.name` or `namespace.name.…`: with a dot in either it could be another's. */
export function hasOwnNames(resource: Named): boolean {
  return !namespaceOf(resource).includes('.') && !resource.metadata.name.includes('.');
}

export function describeName({ metadata }: SubscriptionResource): string {
  const [owner = ''] = metadata.name.split('.');
  return (
    `a name has no dots: queues called ${metadata.namespace ?? 'default'}.${metadata.name} belong to an EventSubscription ${owner}; ` +
    'make it anew with a hyphen instead'
  );
}

/** In a sentence that says what to do. */
export function describeTaken(queues: readonly string[]): string {
  const [what, them] = queues.length === 1 ? ['queue', 'it'] : ['queues', 'them'];
  return (
    `${what} ${queues.join(', ')} existed before this subscription: to take ${them} over, annotate it with ` +
    `${ADOPT_ANNOTATION}=true; otherwise delete ${them} or choose another name`
  );
}

/** How old a reading may be that still shows what was there before the subscription: milliseconds. */
export function claimableAge({ metadata }: SubscriptionResource, now: number): number {
  // Kubernetes tells the time of creation in whole seconds.
  const age = now - Date.parse(metadata.creationTimestamp ?? '') - 1_000;
  return age > 0 ? age : 0;
}
