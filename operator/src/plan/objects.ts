/** What would change beside the resource: each object on the broker and in Kubernetes, as a plan says it. */
import { bindingEntries, effectivePolicy, namesOf } from '@warren/topology';
import type { BrokerCapabilities, Inventory, Membership, ObjectStep, QueueType } from '@warren/topology';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import { limitsOf } from '../scaling/demand.ts';
import { scalingNameOf } from '../scaling/engines.ts';
import { namespaceOf, subscriptionOf } from '../subscriptions/claims.ts';
import { bindingNameOf } from '../users/handout.ts';
import { fieldChanges } from './fields.ts';

/** An object on the broker, or in Kubernetes, that would be made, changed or deleted. */
export interface ObjectChange {
  action: 'create' | 'change' | 'delete';
  kind: 'exchange' | 'queue' | 'binding' | 'settings' | 'user' | 'Secret' | 'autoscaler';
  /** Of the exchange, the queue, the Secret …; for a binding, of the queue; for a user, how its name begins. */
  name: string;
  /** A binding's exchange and routing key; which settings change and how; which keys of the Secret; between which limits it scales. */
  detail?: string;
}

/** Which of the consumer's settings change. Of the uri nothing is said, not even that. */
export function bindingChange(
  resource: SubscriptionResource,
  current: SubscriptionResource | undefined,
  capabilities: BrokerCapabilities,
): ObjectChange[] {
  const secret = { kind: 'Secret', name: bindingNameOf(resource) } as const;
  if (current?.status?.binding === undefined) return [{ action: 'create', ...secret }];
  const before = bindingEntries(subscriptionOf(current), capabilities, '');
  const after = bindingEntries(subscriptionOf(resource), capabilities, '');
  const changes = fieldChanges(before, after, '').map(({ path, from, to }) =>
    described(path.slice(1), from, to),
  );
  return changes.length === 0 ? [] : [{ action: 'change', ...secret, detail: changes.join(', ') }];
}

/** With its first binding. A change of the EventBroker's mode is told there. */
export function userChange(
  resource: SubscriptionResource,
  current: SubscriptionResource | undefined,
  broker: BrokerResource | undefined,
): ObjectChange[] {
  const isNew = current?.status?.binding === undefined;
  if (!isNew || broker?.spec.consumerCredentials?.mode !== 'PerSubscription') return [];
  const { queue } = namesOf(namespaceOf(resource), resource.metadata.name);
  return [{ action: 'create', kind: 'user', name: `${queue}@…`, detail: `reads ${queue} only` }];
}

/** By which engine, the cluster decides where the spec leaves it to it: by the one before, then, as far as a plan knows. */
export function autoscalerOf(
  { metadata, spec }: SubscriptionResource,
  current: SubscriptionResource | undefined,
): Pick<ObjectChange, 'kind' | 'name'> {
  const wish = spec.scaling?.engine ?? 'Auto';
  const engine = wish === 'Auto' ? current?.status?.replicas?.engine : wish;
  return { kind: 'autoscaler', name: scalingNameOf(engine === 'Keda' ? 'Keda' : 'Hpa', { metadata }) };
}

export function scalingChange(
  resource: SubscriptionResource,
  current: SubscriptionResource | undefined,
): ObjectChange[] {
  const object = autoscalerOf(resource, current);
  const [before, after] = [current, resource].map((one) => {
    const limits = one === undefined ? undefined : limitsOf(one.spec);
    if (one === undefined || limits === undefined) return undefined;
    const { consumer, scaling } = one.spec;
    const drains = `a backlog drains in ${limits.drainWithinSeconds} s`;
    return `${consumer?.name ?? 'its consumer'} from ${limits.min} to ${limits.max} replicas, ${drains}, engine ${scaling?.engine ?? 'Auto'}`;
  });
  if (after === before) return [];
  if (after === undefined) return [{ action: 'delete', ...object }];
  return [{ action: before === undefined ? 'create' : 'change', ...object, detail: after }];
}

export function settingsChange({ queue, settings }: Membership, found: Inventory): ObjectChange {
  const type = found.queues.get(queue)?.type as QueueType | undefined;
  const before = type === undefined ? undefined : effectivePolicy(found.policyIndex, queue, type)?.definition;
  const changes = fieldChanges(before ?? {}, settings ?? {}, '').map(({ path, from, to }) =>
    described(path.slice(1), from, to),
  );
  return {
    action: before === undefined ? 'create' : 'change',
    kind: 'settings',
    name: queue,
    detail: changes.length === 0 ? 'in a policy of their own' : changes.join(', '),
  };
}

function described(name: string, from: unknown, to: unknown): string {
  const shown = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  if (from === undefined) return `${name} ${shown(to)}`;
  return `${name} ${shown(from)} → ${to === undefined ? 'none' : shown(to)}`;
}

export function objectChange(step: ObjectStep): ObjectChange {
  switch (step.step) {
    case 'declareExchange':
      return { action: 'create', kind: 'exchange', name: step.exchange.name };
    case 'deleteExchange':
      return { action: 'delete', kind: 'exchange', name: step.exchange };
    case 'declareQueue':
      return { action: 'create', kind: 'queue', name: step.queue.name };
    case 'deleteQueue':
      return {
        action: 'delete',
        kind: 'queue',
        name: step.queue,
        ...(step.onlyIfEmpty ? { detail: 'when it is empty' } : {}),
      };
    case 'bind':
    case 'unbind': {
      const { destination, source, routingKey } = step.binding;
      return {
        action: step.step === 'bind' ? 'create' : 'delete',
        kind: 'binding',
        name: destination,
        detail: `${source} by ${routingKey}`,
      };
    }
  }
}
