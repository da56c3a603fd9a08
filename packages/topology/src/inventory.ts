/** One bulk read of a virtual host, indexed, so that a thousand subscriptions cost a thousand look-ups. */
import { queueOfWaitQueue } from './names.ts';
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
  policies: readonly Policy[];
  policyIndex: PolicyIndex;
}

export function inventoryOf({ exchanges, queues, bindings, policies }: Found): Inventory {
  const byQueue = new Map<string, Binding[]>();
  const byExchange = new Map<string, Binding[]>();
  for (const binding of bindings)
    append(binding.destinationType === 'queue' ? byQueue : byExchange, binding.destination, binding);
  const waitQueues = new Map<string, FoundQueue[]>();
  for (const queue of queues) {
    const of = queueOfWaitQueue(queue.name);
    if (of !== undefined) append(waitQueues, of, queue);
  }
  return {
    exchanges: new Map(exchanges.map((exchange) => [exchange.name, exchange])),
    queues: new Map(queues.map((queue) => [queue.name, queue])),
    bindings: byQueue,
    exchangeBindings: byExchange,
    waitQueues,
    policies,
    policyIndex: policyIndexOf(policies),
  };
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
