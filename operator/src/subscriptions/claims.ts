/**
 * Whose objects are whose. The finalizer is the claim on a subscription's names on the broker: it is set before anything is
 * made, so what exists under a name after it is ours, and a restart finds that out without any memory. Names cannot collide
 * among subscriptions: neither a namespace nor a subscription's name has a dot, and one that had (its CRD was without the rule)
 * gets nothing. A queue that Warren made before (it is in one of
 * Warren's policies) is claimed again by a subscription of the same name: it was retained, or its resource was lost.
 */
import type { Subscription } from '@warren/topology';
import { ADOPT_ANNOTATION, FINALIZER } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';

/** An EventPublisher, too. */
type Named = Pick<SubscriptionResource, 'metadata'>;

export function isClaimed({ metadata }: Named): boolean {
  return metadata.finalizers?.includes(FINALIZER) === true;
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
