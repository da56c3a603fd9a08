/** One bulk read of a virtual host, indexed, so that a thousand subscriptions cost a thousand look-ups. */
import { waitsFor } from './marks.ts';
import { queueOfPartition } from './partitions.ts';
import type { Binding, Found, FoundExchange, FoundQueue, Policy } from './objects.ts';
import { policyIndexOf } from './policies.ts';
import type { PolicyIndex } from './policies.ts';

export interface Inventory {
  exchanges: ReadonlyMap<string, FoundExchange>;
  queues: ReadonlyMap<string, FoundQueue>;
  /** By the queue that is bound. */
  bindings: ReadonlyMap<string, readonly Binding[]>;
  /** By the exchange that is bound. */
  exchangeBindings: ReadonlyMap<string, readonly Binding[]>;
  /** By the queue that their messages go back to. */
  waitQueues: ReadonlyMap<string, readonly FoundQueue[]>;
  /** By the queue that they are named after, in their order: whose they are, marks.ts tells. */
  partitions: ReadonlyMap<string, readonly FoundQueue[]>;
  policies: readonly Policy[];
  operatorPolicies: readonly Policy[];
  policyIndex: PolicyIndex;
}

export function inventoryOf(read: Found): Inventory {
  const { exchanges, queues, bindings, policies, operatorPolicies = [] } = read;
  const byQueue = new Map<string, Binding[]>();
  const byExchange = new Map<string, Binding[]>();
  for (const binding of bindings)
    append(binding.destinationType === 'queue' ? byQueue : byExchange, binding.destination, binding);
  const waitQueues = new Map<string, FoundQueue[]>();
  const partitions = new Map<string, FoundQueue[]>();
  for (const queue of queues) {
    const of = waitsFor(queue);
    if (of !== undefined) append(waitQueues, of, queue);
    const whole = queueOfPartition(queue.name);
    if (whole !== undefined) append(partitions, whole, queue);
  }
  for (const list of partitions.values()) list.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    exchanges: new Map(exchanges.map((exchange) => [exchange.name, exchange])),
    queues: new Map(queues.map((queue) => [queue.name, queue])),
    bindings: byQueue,
    exchangeBindings: byExchange,
    waitQueues,
    partitions,
    policies,
    operatorPolicies,
    policyIndex: policyIndexOf(policies),
  };
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
