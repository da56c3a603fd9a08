/** For tests: messages in a model broker, routed as RabbitMQ does. Queues are lists of ids; a key has every KEYS-th of them. */
import type { Binding } from '../objects.ts';
import type { MigrationStep } from '../migration.ts';
import { HASH_EXCHANGE } from '../partitions.ts';
import type { PolicyStep } from '../steps.ts';
import { apply } from './model-broker.ts';
import type { ModelBroker } from './model-broker.ts';

export const KEYS = 5;

export class ModelFlow {
  broker: ModelBroker;
  readonly messages = new Map<string, number[]>();
  /** Deleted with their queue. */
  readonly lost: number[] = [];
  /** Queues that somebody consumes. */
  attended: readonly string[] = [];

  constructor(broker: ModelBroker) {
    this.broker = broker;
  }

  in(queue: string): number[] {
    const list = this.messages.get(queue) ?? [];
    this.messages.set(queue, list);
    return list;
  }

  /** The queues that it went into. */
  publish(exchange: string, routingKey: string, id: number): string[] {
    const queues = [...this.#route(exchange, routingKey, id, new Set())];
    for (const queue of queues) this.in(queue).push(id);
    return queues;
  }

  /** What a reading would find. */
  found(): ModelBroker {
    const queues = this.broker.queues.map((queue) => ({ ...queue, messages: this.in(queue.name).length }));
    return { ...this.broker, queues };
  }

  /**
   * False where the steps after it are not to be made.
   *
   * @param limit how many messages a move moves before it is cut off; with `unacked`, the last of them without having taken
   *   it out of where it was.
   */
  make(step: MigrationStep | PolicyStep, { limit = Infinity, unacked = false } = {}): boolean {
    if (step.step === 'move') {
      const from = this.in(step.from);
      if (step.attended !== 'move' && this.attended.includes(step.from))
        return step.attended === 'skip' && from.length === 0;
      const moved = from.slice(0, limit);
      if (step.toKind === 'queue') {
        if (!this.broker.queues.some(({ name }) => name === step.to)) throw new Error(`404: ${step.to}`);
        this.in(step.to).push(...moved);
      } else
        for (const id of moved) {
          const queues = this.publish(step.to, '', id);
          if (queues.length !== 1) throw new Error(`routed to ${queues.join(' and ')}`);
        }
      from.splice(0, unacked ? moved.length - 1 : moved.length);
      return from.length === 0;
    }
    if (step.step === 'deleteQueue') {
      const held = this.in(step.queue);
      if (step.onlyIfEmpty && held.length > 0) return false;
      this.lost.push(...held);
      this.messages.delete(step.queue);
    }
    this.broker = apply(this.broker, step);
    return true;
  }

  #route(exchange: string, routingKey: string, id: number, seen: Set<string>): Set<string> {
    const queues = new Set<string>();
    if (seen.has(exchange)) return queues;
    seen.add(exchange);
    const type = this.broker.exchanges.find(({ name }) => name === exchange);
    if (type === undefined) return queues;
    const bound = this.broker.bindings.filter(({ source }) => source === exchange);
    const matches =
      type.type === HASH_EXCHANGE
        ? bound.slice((id % KEYS) % bound.length).slice(0, 1)
        : bound.filter((binding) => type.type === 'fanout' || isMatch(binding, routingKey));
    const alternate = type.arguments['alternate-exchange'];
    if (matches.length === 0 && typeof alternate === 'string')
      return this.#route(alternate, routingKey, id, seen);
    for (const { destination, destinationType } of matches) {
      if (destinationType === 'queue') queues.add(destination);
      else for (const queue of this.#route(destination, routingKey, id, seen)) queues.add(queue);
    }
    return queues;
  }
}

function isMatch(binding: Binding, routingKey: string): boolean {
  if (binding.routingKey === '#' || binding.routingKey === routingKey) return true;
  const [head, tail] = binding.routingKey.split('.');
  return tail === '*' && routingKey.startsWith(`${head ?? ''}.`);
}
