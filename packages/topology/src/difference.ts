/**
 * What is found, compared with what is wanted: the steps between them, in an order that loses no message.
 *
 *   exchanges · the queue · the dead-letter queue and its binding · wait queues · new bindings · then what is not wanted any more
 *
 * Only bindings from `events` to the queue and from `failed_events` to its dead-letter queue are the operator's; others are
 * left alone. What cannot be changed in place is not touched at all.
 */
import { isSameBinding, plain } from './bindings.ts';
import { isSameValue } from './canonical.ts';
import type { Inventory } from './inventory.ts';
import { boundTo, entranceOf, foundDeliveries, layoutChange } from './layout.ts';
import type { Entrance } from './layout.ts';
import type {
  Binding,
  Exchange,
  FoundExchange,
  FoundQueue,
  Membership,
  Queue,
  WantedTopology,
} from './objects.ts';
import { familyOf } from './families.ts';
import { besideConflicts, isMarked } from './marks.ts';
import { overriddenIn } from './overriding.ts';
import { isMember } from './policies.ts';
import type { ObjectStep } from './steps.ts';
import { temporaryConflicts } from './temporary.ts';

export interface Difference {
  /** Somebody else's object has a name that is wanted: sentences. */
  conflicts: string[];
  /** Objects that would have to be made anew: sentences. */
  blocked: string[];
  /** Queues that do not have their settings. For `policyPlan`, before the steps: policies after queues are slow. */
  memberships: Membership[];
  steps: ObjectStep[];
  /** Policies of other people that win over ours: sentences. */
  overridden: string[];
  /** What will be a step when the time has come: sentences. */
  later: string[];
}

export function difference(wanted: WantedTopology, found: Inventory): Difference {
  const conflicts = [
    ...wanted.exchanges.flatMap((exchange) =>
      exchangeConflicts(exchange, found.exchanges.get(exchange.name)),
    ),
    ...wanted.queues.flatMap(({ name }) => queueConflicts(found.queues.get(name))),
    ...besideConflicts(wanted, found),
    ...temporaryConflicts(wanted.names, found),
  ];
  const blocked = [
    ...wanted.queues.flatMap((queue) => queueDifferences(queue, found.queues.get(queue.name))),
    ...layoutDifferences(wanted, found),
  ];
  const overridden = overriddenIn(wanted, found);
  if (conflicts.length > 0 || blocked.length > 0)
    return { conflicts, blocked, memberships: [], steps: [], overridden, later: [] };
  return { conflicts, blocked, overridden, ...changesBetween(wanted, found) };
}

/** The changes in place, whether or not something else cannot be changed. */
export function changesBetween(
  wanted: WantedTopology,
  found: Inventory,
): Pick<Difference, 'memberships' | 'steps' | 'later'> {
  const { steps: cleaning, later } = unneededWaitQueues(wanted, found);
  return {
    memberships: wanted.memberships.filter(
      ({ queue, settings }) => !isMember(found.policyIndex, queue, settings),
    ),
    steps: [
      ...missingExchanges(wanted, found),
      ...missingQueues(wanted, found),
      ...rebinding(wanted, found),
      ...cleaning,
    ],
    later,
  };
}

/**
 * The wanted queues that are there already and that Warren did not make: whether they may be taken over is for the caller to
 * say. What Warren makes is in a policy of Warren's, and stays in it when its subscription goes and it is retained; and it looks
 * like Warren's, for a policy may name a queue that somebody else has made meanwhile.
 */
export function foreignQueues(wanted: WantedTopology, found: Inventory): string[] {
  const there = queuesThere(wanted, found);
  const { byQueue, byFamily } = found.policyIndex;
  const isNamed = (name: string) => byQueue.has(name) || byFamily.has(familyOf(name) ?? '');
  return there.some(isNamed) && isMarked(wanted.names, found) ? [] : there;
}

/** Those under its names that are there, whoever made them: also partitions that are not wanted any more. */
export function queuesThere({ queues, names }: WantedTopology, found: Inventory): string[] {
  return [
    ...new Set([
      ...queues.map(({ name }) => name).filter((name) => found.queues.has(name)),
      ...foundDeliveries(names, found).map(({ name }) => name),
    ]),
  ];
}

/** Why a found exchange cannot be the one that is wanted: sentences. */
export function exchangeConflicts(wanted: Exchange, found: FoundExchange | undefined): string[] {
  if (found === undefined) return [];
  const { name, type } = wanted;
  const is = (what: string) => [
    `exchange ${name} is ${what}: Warren needs a durable ${type} exchange of that name`,
  ];
  if (found.type !== type) return is(`of type ${found.type}`);
  if (!found.durable) return is('not durable');
  if (found.autoDelete) return is('deleted with its last binding');
  return found.internal ? is('internal, so that nobody can publish to it') : [];
}

/** Nor can it be made anew, since only its own connection may empty and delete it. */
function queueConflicts(found: FoundQueue | undefined): string[] {
  if (found?.exclusive !== true) return [];
  return [
    `queue ${found.name} is exclusive to the connection that declared it, and goes with that: close the connection, then Warren makes the queue`,
  ];
}

/** What is other about a queue than it should be, and cannot be changed in place: one entry a property. */
export interface QueueChange {
  /** `type`, `durable`, `autoDelete` or the name of an argument. */
  property: string;
  from: string;
  to: string;
}

export function queueChanges(wanted: Queue, found: FoundQueue): QueueChange[] {
  const type = wanted.arguments['x-queue-type'];
  if (typeof type === 'string' && found.type !== type)
    return [{ property: 'type', from: found.type, to: type }];
  const changes: QueueChange[] = [];
  for (const property of ['durable', 'autoDelete'] as const) {
    if (found[property] !== wanted[property])
      changes.push({ property, from: String(found[property]), to: String(wanted[property]) });
  }
  const keys = new Set([...Object.keys(wanted.arguments), ...Object.keys(found.arguments)]);
  // The type was compared: a virtual host with a default type does not put it among the arguments.
  keys.delete('x-queue-type');
  for (const key of [...keys].sort()) {
    const is = found.arguments[key];
    const should = wanted.arguments[key];
    if (!isSameValue(is, should)) changes.push({ property: key, from: shown(is), to: shown(should) });
  }
  return changes;
}

function queueDifferences(wanted: Queue, found: FoundQueue | undefined): string[] {
  if (found === undefined) return [];
  const { name } = wanted;
  return queueChanges(wanted, found).map(({ property, from, to }) => {
    if (property === 'type') return `queue ${name} is of type ${from} and should be ${to}`;
    if (property === 'durable') return `queue ${name} is not durable`;
    if (property === 'autoDelete') return `queue ${name} is deleted with its last consumer`;
    return `queue ${name} has ${property} ${from} and should have ${to}`;
  });
}

function layoutDifferences(wanted: WantedTopology, found: Inventory): string[] {
  const change = layoutChange(wanted, found);
  if (change === undefined) return [];
  return [`queue ${wanted.names.queue} has ${change.from} partitions and should have ${change.to}`];
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function missingExchanges({ exchanges }: WantedTopology, found: Inventory): ObjectStep[] {
  return exchanges
    .filter(({ name }) => !found.exchanges.has(name))
    .map((exchange) => ({ step: 'declareExchange', exchange }));
}

/**
 * Each missing queue, and for the dead-letter queue its bindings too. The queue itself goes first: nothing comes into it before
 * it is bound, and its dead-letter key tells whose the others are, should it end there.
 */
function missingQueues({ queues, bindings, names }: WantedTopology, found: Inventory): ObjectStep[] {
  const isItself = ({ name }: Queue) => name === names.queue;
  const inOrder = [...queues.filter(isItself), ...queues.filter((queue) => !isItself(queue))];
  return inOrder.flatMap((queue): ObjectStep[] => [
    ...(found.queues.has(queue.name) ? [] : [{ step: 'declareQueue', queue } as const]),
    ...(queue.name === names.deadLetterQueue
      ? missingBindings(bindings, { name: queue.name, kind: 'queue' }, found)
      : []),
  ]);
}

function missingBindings(wanted: readonly Binding[], at: Entrance, found: Inventory): ObjectStep[] {
  // A reading is not of one moment: a queue or an exchange may be gone in it, and its bindings not yet.
  const isThere = (at.kind === 'queue' ? found.queues : found.exchanges).has(at.name);
  const bindings = isThere ? boundTo(found, at) : [];
  const there = bindings.filter(({ source }) => found.exchanges.has(source));
  return wanted
    .filter(
      (binding) =>
        binding.destination === at.name &&
        binding.destinationType === at.kind &&
        !there.some((one) => isSameBinding(one, binding)),
    )
    .map((binding) => ({ step: 'bind', binding }));
}

/**
 * New bindings before old ones go: an event that both took is taken all the time. Partitions before what leads to them: no event
 * is routed by a part of them.
 */
function rebinding({ bindings, names }: WantedTopology, found: Inventory): ObjectStep[] {
  const entrance = entranceOf(names);
  const { events, failedEvents } = names.exchanges;
  const partitions = names.partitions.map((name): Entrance => ({ name, kind: 'queue' }));
  return [
    ...partitions.flatMap((partition) => missingBindings(bindings, partition, found)),
    ...missingBindings(bindings, entrance, found),
    ...unwantedBindings(bindings, failedEvents, { name: names.deadLetterQueue, kind: 'queue' }, found),
    ...unwantedBindings(bindings, events, entrance, found),
    ...partitions.flatMap((partition) => [
      ...unwantedBindings(bindings, events, partition, found),
      ...unwantedBindings(bindings, names.keys, partition, found),
    ]),
  ];
}

function unwantedBindings(
  wanted: readonly Binding[],
  source: string,
  at: Entrance,
  found: Inventory,
): ObjectStep[] {
  return boundTo(found, at)
    .filter((binding) => binding.source === source && !wanted.some((one) => isSameBinding(one, binding)))
    .map((binding) => ({ step: 'unbind', binding: plain(binding) }));
}

/** Wait queues of other delays: what they hold goes back by itself when its time has come. */
function unneededWaitQueues(
  { names }: WantedTopology,
  found: Inventory,
): { steps: ObjectStep[]; later: string[] } {
  const steps: ObjectStep[] = [];
  const later: string[] = [];
  for (const { name, messages } of found.waitQueues.get(names.queue) ?? []) {
    if (names.waitQueues.includes(name)) continue;
    if (messages === 0) steps.push({ step: 'deleteQueue', queue: name, onlyIfEmpty: true });
    else later.push(`queue ${name} is not needed any more and is deleted when its messages have gone back`);
  }
  return { steps, later };
}
