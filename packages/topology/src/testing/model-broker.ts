/** For tests: a broker as a value. It refuses what RabbitMQ refuses. */
import { canonical } from '../canonical.ts';
import type { Binding, Found, FoundExchange, FoundQueue, Policy } from '../objects.ts';
import type { Step } from '../steps.ts';

export interface ModelBroker extends Found {
  exchanges: FoundExchange[];
  queues: FoundQueue[];
  bindings: Binding[];
  policies: Policy[];
}

export const emptyBroker: ModelBroker = { exchanges: [], queues: [], bindings: [], policies: [] };

/** Arguments that RabbitMQ refuses for a queue of a type. */
const NOT_KNOWN_TO: Record<string, readonly string[]> = {
  quorum: ['x-max-priority', 'x-max-age'],
  classic: ['x-dead-letter-strategy', 'x-delivery-limit', 'x-max-age'],
  stream: [
    'x-dead-letter-exchange',
    'x-dead-letter-routing-key',
    'x-dead-letter-strategy',
    'x-overflow',
    'x-max-length',
    'x-max-priority',
    'x-message-ttl',
    'x-single-active-consumer',
  ],
};

export function applyAll(broker: ModelBroker, steps: readonly Step[]): ModelBroker {
  return steps.reduce(apply, broker);
}

export function apply(broker: ModelBroker, step: Step): ModelBroker {
  switch (step.step) {
    case 'declareExchange': {
      const { exchange } = step;
      const there = broker.exchanges.find(({ name }) => name === exchange.name);
      if (there === undefined)
        return { ...broker, exchanges: [...broker.exchanges, { ...exchange, internal: false }] };
      if (there.type !== exchange.type) throw new Error(`406: exchange ${exchange.name}`);
      return broker;
    }
    case 'deleteExchange':
      return {
        ...broker,
        exchanges: broker.exchanges.filter(({ name }) => name !== step.exchange),
        bindings: broker.bindings.filter(
          ({ source, destination, destinationType }) =>
            source !== step.exchange && (destinationType !== 'exchange' || destination !== step.exchange),
        ),
      };
    case 'declareQueue': {
      const { queue } = step;
      const there = broker.queues.find(({ name }) => name === queue.name);
      if (there !== undefined) {
        if (canonical(there.arguments) !== canonical(queue.arguments))
          throw new Error(`406: queue ${queue.name}`);
        return broker;
      }
      const { 'x-queue-type': type = 'classic' } = queue.arguments as { 'x-queue-type'?: string };
      const refused = Object.keys(queue.arguments).find((key) => NOT_KNOWN_TO[type]?.includes(key));
      if (refused !== undefined) throw new Error(`400: ${refused} of ${type} queue ${queue.name}`);
      return { ...broker, queues: [...broker.queues, { ...queue, type, messages: 0 }] };
    }
    case 'bind': {
      const { binding } = step;
      if (!broker.exchanges.some(({ name }) => name === binding.source))
        throw new Error(`404: ${binding.source}`);
      const destinations = binding.destinationType === 'queue' ? broker.queues : broker.exchanges;
      if (!destinations.some(({ name }) => name === binding.destination))
        throw new Error(`404: ${binding.destination}`);
      return { ...broker, bindings: [...broker.bindings.filter(differsFrom(binding)), binding] };
    }
    case 'unbind':
      return { ...broker, bindings: broker.bindings.filter(differsFrom(step.binding)) };
    case 'deleteQueue':
      return {
        ...broker,
        queues: broker.queues.filter(({ name }) => name !== step.queue),
        bindings: broker.bindings.filter(
          ({ destination, destinationType }) => destinationType !== 'queue' || destination !== step.queue,
        ),
      };
    case 'putPolicy':
      if (Object.keys(step.policy.definition).length === 0) throw new Error('400: no policy provided');
      return {
        ...broker,
        policies: [...broker.policies.filter(({ name }) => name !== step.policy.name), step.policy],
      };
    case 'deletePolicy':
      return { ...broker, policies: broker.policies.filter(({ name }) => name !== step.policy) };
  }
}

function differsFrom(binding: Binding): (other: Binding) => boolean {
  const keyOf = ({ source, destination, destinationType, routingKey, arguments: args }: Binding) =>
    canonical({ source, destination, destinationType, routingKey, args });
  const key = keyOf(binding);
  return (other) => keyOf(other) !== key;
}
