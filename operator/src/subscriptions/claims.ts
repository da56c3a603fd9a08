/**
 * Whose objects are whose. The finalizer is the claim on a subscription's names on the broker: it is set before anything is
 * made, so what exists under a name after it is ours, and a restart finds that out without any memory. Names cannot collide
 * among subscriptions: neither a namespace nor a subscription's name has a dot. A queue that Warren made before (it is in one of
 * Warren's policies) is claimed again by a subscription of the same name: it was retained, or its resource was lost.
 */
import { ADOPT_ANNOTATION, FINALIZER } from '../resources.ts';
import type { SubscriptionResource } from '../resources.ts';

export function isClaimed({ metadata }: SubscriptionResource): boolean {
  return metadata.finalizers?.includes(FINALIZER) === true;
}

export function mayAdopt({ metadata }: SubscriptionResource): boolean {
  return metadata.annotations?.[ADOPT_ANNOTATION] === 'true';
}

export function isDeleting({ metadata }: SubscriptionResource): boolean {
  return metadata.deletionTimestamp !== undefined;
}

export function namespaceOf({ metadata }: SubscriptionResource): string {
  return metadata.namespace ?? 'default';
}

export function keyOfSubscription(resource: SubscriptionResource): string {
  return `${namespaceOf(resource)}/${resource.metadata.name}`;
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
