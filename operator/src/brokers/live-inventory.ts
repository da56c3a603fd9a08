/** An inventory that follows our own writes: each says how things are after it, and saying it twice changes nothing. */
import { isDeepStrictEqual } from 'node:util';
import {
  inventoryOf,
  isSameBinding,
  policyIndexOf,
  queueOfPartition,
  queueOfWaitQueue,
  waitsFor,
} from '@warren/topology';
import type {
  Binding,
  Found,
  FoundExchange,
  FoundQueue,
  Inventory,
  Policy,
  PolicyIndex,
  Step,
} from '@warren/topology';

/** Two inventories with the same one differ in nothing but what their queues hold. */
export type Layout = symbol;

export class LiveInventory implements Inventory {
  readonly exchanges: Map<string, FoundExchange>;
  readonly queues: Map<string, FoundQueue>;
  readonly bindings: Map<string, readonly Binding[]>;
  readonly exchangeBindings: Map<string, readonly Binding[]>;
  readonly waitQueues: Map<string, readonly FoundQueue[]>;
  readonly partitions: Map<string, readonly FoundQueue[]>;
  policies: readonly Policy[];
  readonly operatorPolicies: readonly Policy[];
  #policyIndex: PolicyIndex | undefined;
  #layout: Layout = Symbol('layout');

  /** @param before one that was read earlier: where everything is still as it was there, this has its layout */
  constructor(found: Found, before?: LiveInventory) {
    const { exchanges, queues, bindings, exchangeBindings, waitQueues, partitions, policies, policyIndex } =
      inventoryOf(found);
    this.exchanges = new Map(exchanges);
    this.queues = new Map(queues);
    this.bindings = new Map(bindings);
    this.exchangeBindings = new Map(exchangeBindings);
    this.waitQueues = new Map(waitQueues);
    this.partitions = new Map(partitions);
    this.policies = policies;
    this.operatorPolicies = found.operatorPolicies ?? [];
    this.#policyIndex = policyIndex;
    if (before !== undefined && isLaidOutAlike(before, this)) this.#layout = before.layout;
  }

  get layout(): Layout {
    return this.#layout;
  }

  get policyIndex(): PolicyIndex {
    this.#policyIndex ??= policyIndexOf(this.policies);
    return this.#policyIndex;
  }

  apply(step: Step): void {
    this.#layout = Symbol('layout');
    switch (step.step) {
      case 'declareExchange':
        this.exchanges.set(step.exchange.name, { ...step.exchange, internal: false });
        break;
      case 'deleteExchange':
        this.exchanges.delete(step.exchange);
        this.exchangeBindings.delete(step.exchange);
        for (const bindings of [this.bindings, this.exchangeBindings])
          for (const [destination, list] of bindings)
            if (list.some(({ source }) => source === step.exchange))
              bindings.set(
                destination,
                list.filter(({ source }) => source !== step.exchange),
              );
        break;
      case 'declareQueue': {
        const type = step.queue.arguments['x-queue-type'];
        // How many messages it holds nobody has counted.
        const queue = { ...step.queue, type: typeof type === 'string' ? type : 'classic' };
        this.queues.set(queue.name, queue);
        this.#changeFamilies(queue.name, queue);
        break;
      }
      case 'deleteQueue':
        this.queues.delete(step.queue);
        this.bindings.delete(step.queue);
        this.#changeFamilies(step.queue);
        break;
      case 'bind':
      case 'unbind': {
        const { destination, destinationType } = step.binding;
        const bindings = destinationType === 'queue' ? this.bindings : this.exchangeBindings;
        const others = (bindings.get(destination) ?? []).filter((one) => !isSameBinding(one, step.binding));
        bindings.set(destination, step.step === 'bind' ? [...others, step.binding] : others);
        break;
      }
      case 'putPolicy':
        this.#changePolicies(step.policy.name, [step.policy]);
        break;
      case 'deletePolicy':
        this.#changePolicies(step.policy, []);
        break;
    }
  }

  /** Wait queues and partitions are looked up by the queue they belong to. */
  #changeFamilies(name: string, now?: FoundQueue): void {
    const isWaiting = now !== undefined && waitsFor(now) !== undefined;
    const families = [
      [queueOfWaitQueue(name), this.waitQueues, isWaiting ? [now] : []],
      [queueOfPartition(name), this.partitions, now === undefined ? [] : [now]],
    ] as const;
    for (const [queue, family, added] of families) {
      if (queue === undefined) continue;
      const others = (family.get(queue) ?? []).filter((one) => one.name !== name);
      family.set(
        queue,
        [...others, ...added].sort((a, b) => (a.name < b.name ? -1 : 1)),
      );
    }
  }

  #changePolicies(name: string, now: readonly Policy[]): void {
    this.policies = [...this.policies.filter((one) => one.name !== name), ...now];
    this.#policyIndex = undefined;
  }
}

function isLaidOutAlike(a: LiveInventory, b: LiveInventory): boolean {
  return (
    a.queues.size === b.queues.size &&
    [...b.queues].every(([name, queue]) => isQueueAlike(a.queues.get(name), queue)) &&
    isDeepStrictEqual(a.bindings, b.bindings) &&
    isDeepStrictEqual(a.exchangeBindings, b.exchangeBindings) &&
    isDeepStrictEqual(a.exchanges, b.exchanges) &&
    isDeepStrictEqual(a.policies, b.policies) &&
    isDeepStrictEqual(a.operatorPolicies, b.operatorPolicies)
  );
}

function isQueueAlike(a: FoundQueue | undefined, b: FoundQueue): boolean {
  return (
    a !== undefined &&
    a.type === b.type &&
    a.durable === b.durable &&
    a.autoDelete === b.autoDelete &&
    a.exclusive === b.exclusive &&
    a.policy === b.policy &&
    isDeepStrictEqual(a.arguments, b.arguments) &&
    isDeepStrictEqual(a.effective, b.effective)
  );
}
