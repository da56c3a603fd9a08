/**
 * What the plug-in rabbitmq_event_exchange tells of a change on the broker, and whether that is news: pure.
 *
 *   queue.deleted   binding.created   policy.set …   with the object's name and virtual host in the headers
 *
 * Our own writes are told too, and everybody else's. What agrees with the mirror of the virtual host (mirror.ts), or concerns
 * nobody's subscription, is no news; so a thousand queues that we make cost a thousand look-ups and no reading.
 */
import { canonical } from '@warren/topology';
import type { Binding, Inventory, Policy, Step } from '@warren/topology';

export const EVENT_EXCHANGE = 'amq.rabbitmq.event';

/** Events of connections, channels, consumers and permissions are not asked for. */
export const EVENT_KEYS = [
  'queue.created',
  'queue.deleted',
  'binding.created',
  'binding.deleted',
  'exchange.created',
  'exchange.deleted',
  'policy.set',
  'policy.cleared',
  'operator.policy.cleared',
] as const;

export type BrokerEvent = { vhost: string } & (
  | { change: 'queue.created' | 'queue.deleted'; name: string }
  | { change: 'exchange.created' | 'exchange.deleted'; name: string }
  | {
      change: 'binding.created' | 'binding.deleted';
      binding: Pick<Binding, 'source' | 'destination' | 'destinationType' | 'routingKey'>;
    }
  | { change: 'policy.set'; name: string; policy: Pick<Policy, 'pattern' | 'priority' | 'definition'> }
  | { change: 'policy.cleared' | 'operator.policy.cleared'; name: string }
);

/** Undefined for what was not asked for, or has another shape. */
export function readEvent(
  routingKey: string,
  headers: Readonly<Record<string, unknown>>,
): BrokerEvent | undefined {
  const text = (key: string) => (typeof headers[key] === 'string' ? headers[key] : undefined);
  const [vhost, name] = [text('vhost'), text('name')];
  if (vhost === undefined) return undefined;
  switch (routingKey) {
    case 'queue.created':
    case 'queue.deleted':
    case 'exchange.created':
    case 'exchange.deleted':
    case 'policy.cleared':
    case 'operator.policy.cleared':
      return name === undefined ? undefined : { vhost, change: routingKey, name };
    case 'policy.set': {
      const { priority, definition } = headers;
      const pattern = text('pattern');
      if (name === undefined || pattern === undefined || typeof priority !== 'number') return undefined;
      const settings = typeof definition === 'object' && definition !== null ? { ...definition } : {};
      return { vhost, change: routingKey, name, policy: { pattern, priority, definition: settings } };
    }
    case 'binding.created':
    case 'binding.deleted': {
      const [source, destination, key] = [text('source_name'), text('destination_name'), text('routing_key')];
      if (source === undefined || destination === undefined || key === undefined) return undefined;
      const destinationType = text('destination_kind') === 'exchange' ? 'exchange' : 'queue';
      return {
        vhost,
        change: routingKey,
        binding: { source, destination, destinationType, routingKey: key },
      };
    }
    default:
      return undefined;
  }
}

/** Events of the same object: only the last counts. */
export function objectOf(event: BrokerEvent): string {
  const [kind] = event.change.split('.');
  if (!('binding' in event)) return `${kind} ${event.name}`;
  const { source, destination, destinationType, routingKey } = event.binding;
  return `binding ${JSON.stringify([source, destinationType, destination, routingKey])}`;
}

/** The objects of which a write of ours may be the cause of an event. */
export function causesOf(event: BrokerEvent): string[] {
  if (!('binding' in event)) return [objectOf(event)];
  const { source, destination } = event.binding;
  return [`queue ${destination}`, `exchange ${destination}`, `exchange ${source}`];
}

/** The object that a step of ours writes, in the words of `causesOf`. */
export function writtenBy(step: Step): string {
  switch (step.step) {
    case 'declareExchange':
      return `exchange ${step.exchange.name}`;
    case 'deleteExchange':
      return `exchange ${step.exchange}`;
    case 'declareQueue':
      return `queue ${step.queue.name}`;
    case 'deleteQueue':
      return `queue ${step.queue}`;
    case 'bind':
    case 'unbind':
      return `${step.binding.destinationType} ${step.binding.destination}`;
    case 'putPolicy':
      return `policy ${step.policy.name}`;
    case 'deletePolicy':
      return `policy ${step.policy}`;
  }
}

/** @param isOurs whether a queue or an exchange belongs to a subscription, or is shared by them */
export function isNews(event: BrokerEvent, found: Inventory, isOurs: (name: string) => boolean): boolean {
  switch (event.change) {
    case 'queue.created':
      return !found.queues.has(event.name) && isOurs(event.name);
    case 'queue.deleted':
      return found.queues.has(event.name) && isOurs(event.name);
    case 'exchange.created':
      return !found.exchanges.has(event.name) && isOurs(event.name);
    case 'exchange.deleted':
      return found.exchanges.has(event.name) && isOurs(event.name);
    case 'binding.created':
      return isOurs(event.binding.destination) && !isBound(event.binding, found);
    case 'binding.deleted':
      return isOurs(event.binding.destination) && isBound(event.binding, found);
    case 'policy.set':
      return ![...found.policies, ...found.operatorPolicies].some(
        ({ name, pattern, priority, definition }) =>
          name === event.name &&
          pattern === event.policy.pattern &&
          priority === event.policy.priority &&
          canonical(definition) === canonical(event.policy.definition),
      );
    case 'policy.cleared':
      return found.policies.some(({ name }) => name === event.name);
    case 'operator.policy.cleared':
      return found.operatorPolicies.some(({ name }) => name === event.name);
  }
}

function isBound(
  {
    source,
    destination,
    destinationType,
    routingKey,
  }: Pick<Binding, 'source' | 'destination' | 'destinationType' | 'routingKey'>,
  found: Inventory,
): boolean {
  const bindings = destinationType === 'queue' ? found.bindings : found.exchangeBindings;
  return (bindings.get(destination) ?? []).some(
    (binding) => binding.source === source && binding.routingKey === routingKey,
  );
}
