/**
 * A deletion, decided anew after each reading of the broker, so that it goes on from wherever it was left:
 *
 *   unbind  ─▶  wait until the counts are of after that  ─▶  delete; or leave it, while there are messages in it
 *
 * Before what is empty goes, it is unbound from everything that other people have bound it to, and counted anew: nothing comes
 * in that no count knows of. While messages are left, those bindings stay.
 *
 *   const { steps, memberships, holding, done } = removal({ … });
 *   apply steps in their order, then policyPlan(memberships, …); when not done, read again and decide again.
 */
import type { Inventory } from './inventory.ts';
import { waitsBeside } from './layout.ts';
import { besideStream, foundPartitions, hasKeys } from './marks.ts';
import { keysOf, partitionNamesOf } from './partitions.ts';
import { unbind } from './migration-steps.ts';
import { DEFAULT_EXCHANGES, namesOf } from './names.ts';
import type { ExchangeNames } from './names.ts';
import type { Binding, Membership } from './objects.ts';
import { streamQueuesOf } from './queue-types.ts';
import type { DeletionPolicy } from './spec.ts';
import type { ObjectStep } from './steps.ts';

/** The broker counts the messages of a quorum queue every 5 s: counts are of after an unbinding when they are so much younger. */
export const COUNT_LAG_MS = 6_000;

export interface RemovalInput {
  namespace: string;
  name: string;
  deletionPolicy: DeletionPolicy;
  found: Inventory;
  /** What the shared exchanges are called, where an EventBroker names others. */
  exchanges?: ExchangeNames;
  /** What was found is at least COUNT_LAG_MS younger than the last unbinding. After a restart nobody knows: begin anew. */
  settled: boolean;
}

export interface Removal {
  steps: ObjectStep[];
  /** After the steps: the deleted queues leave their policies. */
  memberships: Membership[];
  /** Queues that hold messages, for which all of them are left. Whether to wait for that to end is the caller's to say. */
  holding: { queue: string; messages: number }[];
  /** With these steps everything is done that can be done now. Otherwise read and decide again. */
  done: boolean;
}

export function removal(input: RemovalInput): Removal {
  const { namespace, name, deletionPolicy, found, settled, exchanges = DEFAULT_EXCHANGES } = input;
  const { queue, deadLetterQueue } = namesOf(namespace, name);
  const nothing: Removal = { steps: [], memberships: [], holding: [], done: true };
  if (deletionPolicy === 'Retain') return nothing;
  const keys = keysOf(queue);
  const isKeyed = hasKeys({ keys }, found);
  const led = isKeyed ? (found.exchangeBindings.get(keys) ?? []) : [];
  const unbinding = [...(found.bindings.get(queue) ?? []), ...led]
    .filter(({ source }) => source === exchanges.events)
    .map(unbind);
  // The queue before its wait queues and its dead letters: what still dead-letters has somewhere to go until it is gone.
  const waits = waitsBeside({ queue }, found);
  const partitions = foundPartitions(queue, found).map((partition) => partition.name);
  const queues = [queue, ...partitions, ...waits, ...besideStream(queue, found), deadLetterQueue];
  const there = queues.flatMap((each) => found.queues.get(each) ?? []);
  const { offsets, retries } = streamQueuesOf(queue);
  // Also of partitions that are gone: who deleted them may have died before their policy was written.
  const members = partitionNamesOf(queue).filter((each) => found.policyIndex.byQueue.has(each));
  const memberships = [queue, ...members, retries, offsets, deadLetterQueue].map((each) => ({
    queue: each,
    settings: undefined,
  }));
  const last: ObjectStep[] = isKeyed ? [{ step: 'deleteExchange', exchange: keys }] : [];
  if (deletionPolicy === 'Delete')
    return { ...nothing, memberships, steps: [...unbinding, ...there.map(deletion(false)), ...last] };
  if (unbinding.length > 0) return { ...nothing, steps: unbinding, done: false };
  if (there.length === 0) return { ...nothing, memberships, steps: last };
  if (!settled || there.some(({ messages }) => messages === undefined)) return { ...nothing, done: false };
  const holding = there.flatMap(({ name: each, messages = 0 }) =>
    messages > 0 ? [{ queue: each, messages }] : [],
  );
  if (holding.length > 0) return { ...nothing, holding };
  // Partitions by their keys, dead letters by their queue: in there is nothing that could still come.
  const isWithin = ({ source, destination, routingKey }: Binding) =>
    (isKeyed && source === keys) ||
    (source === exchanges.failedEvents && destination === deadLetterQueue && routingKey === queue);
  const others = [...there.flatMap(({ name: each }) => found.bindings.get(each) ?? []), ...led].filter(
    (binding) => !isWithin(binding),
  );
  if (others.length > 0) return { ...nothing, steps: others.map(unbind), done: false };
  return { ...nothing, memberships, steps: [...there.map(deletion(true)), ...last] };
}

function deletion(onlyIfEmpty: boolean): (queue: { name: string }) => ObjectStep {
  return ({ name }) => ({ step: 'deleteQueue', queue: name, onlyIfEmpty });
}

/** `shop.loyalty.dead holds 3 messages`: for an event. */
export function describeHolding({ queue, messages }: { queue: string; messages: number }): string {
  return `${queue} holds ${messages} ${messages === 1 ? 'message' : 'messages'}`;
}
