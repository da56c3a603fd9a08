/** Whether an EventPublisher may have its names. Pure. */
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { keyOfBound } from '../subscriptions/claims.ts';
import { bindingNameOf } from '../users/handout.ts';

/**
 * A subscription of the same name has the binding, whoever was first: its user may publish events, too, so who mounts it goes on
 * either way, and which of them has it is told from the resources alone.
 */
export function isNameTaken(
  resource: Pick<PublisherResource, 'metadata'>,
  { subscriptions }: Pick<ResourceSource, 'subscriptions'>,
): boolean {
  return subscriptions.get(keyOfBound(resource)) !== undefined;
}

export function describeNameTaken(resource: PublisherResource): string {
  const { name } = resource.metadata;
  return (
    `the EventSubscription ${keyOfBound(resource)} has the binding ${bindingNameOf(resource)}, and publishes with it: ` +
    `a service that subscribes needs no EventPublisher, so delete this one, or give it another name than ${name}`
  );
}
