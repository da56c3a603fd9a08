/**
 * What is found, compared with what is wanted: the steps between them, in an order that loses no message.
 *
 *   exchanges · the dead-letter queue and its binding · wait queues · the queue · new bindings · then what is not wanted any more
 *
 * Only bindings from `events` to the queue and from `failed_events` to its dead-letter queue are the operator's; others are
 * left alone. What cannot be changed in place is not touched at all.
 */
import { canonical } from './canonical.ts';
import type { Inventory } from './inventory.ts';
import { EVENTS_EXCHANGE, FAILED_EVENTS_EXCHANGE } from './names.ts';
import type {
  Binding,
  Exchange,
  FoundExchange,
  FoundQueue,
  Membership,
  Queue,
  WantedTopology,
} from './objects.ts';
import { isMember, overridingPolicy, POLICY_PRIORITY } from './policies.ts';
import type { ObjectStep } from './steps.ts';

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
  const conflicts = wanted.exchanges.flatMap((exchange) =>
    exchangeConflicts(exchange, found.exchanges.get(exchange.name)),
  );
  const blocked = wanted.queues.flatMap((queue) => queueDifferences(queue, found.queues.get(queue.name)));
  const overridden = wanted.memberships.flatMap(({ queue }) => overriddenAt(queue, found));
  if (conflicts.length > 0 || blocked.length > 0)
    return { conflicts, blocked, memberships: [], steps: [], overridden, later: [] };
  const { steps: cleaning, later } = unneededWaitQueues(wanted, found);
  return {
    conflicts,
    blocked,
    overridden,
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
 * say. What Warren makes is in a policy of Warren's, and stays in it when its subscription goes and it is retained.
 */
export function foreignQueues({ queues }: WantedTopology, found: Inventory): string[] {
  const there = queues.map(({ name }) => name).filter((name) => found.queues.has(name));
  return there.some((name) => found.policyIndex.byQueue.has(name)) ? [] : there;
}

function exchangeConflicts(wanted: Exchange, found: FoundExchange | undefined): string[] {
  if (found === undefined) return [];
  const { name, type } = wanted;
  const is = (what: string) => [
    `exchange ${name} is ${what}: Warren needs a durable topic exchange of that name`,
  ];
  if (found.type !== type) return is(`of type ${found.type}`);
  if (!found.durable) return is('not durable');
  if (found.autoDelete) return is('deleted with its last binding');
  return found.internal ? is('internal, so that nobody can publish to it') : [];
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
    if (canonicalOf(is) !== canonicalOf(should))
      changes.push({ property: key, from: shown(is), to: shown(should) });
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

function canonicalOf(value: unknown): string {
  return value === undefined ? '' : canonical(value);
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function missingExchanges({ exchanges }: WantedTopology, found: Inventory): ObjectStep[] {
  return exchanges
    .filter(({ name }) => !found.exchanges.has(name))
    .map((exchange) => ({ step: 'declareExchange', exchange }));
}

/** Each missing queue, and for the dead-letter queue its bindings too, before the queue whose messages it takes. */
function missingQueues({ queues, bindings, names }: WantedTopology, found: Inventory): ObjectStep[] {
  return queues.flatMap((queue): ObjectStep[] => [
    ...(found.queues.has(queue.name) ? [] : [{ step: 'declareQueue', queue } as const]),
    ...(queue.name === names.deadLetterQueue ? missingBindings(bindings, queue.name, found) : []),
  ]);
}

function missingBindings(wanted: readonly Binding[], queue: string, found: Inventory): ObjectStep[] {
  const there = new Set((found.bindings.get(queue) ?? []).map((binding) => canonical(plain(binding))));
  return wanted
    .filter((binding) => binding.destination === queue && !there.has(canonical(binding)))
    .map((binding) => ({ step: 'bind', binding }));
}

/** New bindings before old ones go: an event that both took is taken all the time. */
function rebinding({ bindings, names }: WantedTopology, found: Inventory): ObjectStep[] {
  return [
    ...missingBindings(bindings, names.queue, found),
    ...unwantedBindings(bindings, FAILED_EVENTS_EXCHANGE, names.deadLetterQueue, found),
    ...unwantedBindings(bindings, EVENTS_EXCHANGE, names.queue, found),
  ];
}

function unwantedBindings(
  wanted: readonly Binding[],
  source: string,
  queue: string,
  found: Inventory,
): ObjectStep[] {
  const kept = new Set(wanted.map(canonical));
  return (found.bindings.get(queue) ?? [])
    .filter((binding) => binding.source === source && !kept.has(canonical(plain(binding))))
    .map((binding) => ({ step: 'unbind', binding: plain(binding) }));
}

/** Without what the broker adds, such as the key by which it names a binding. */
export function plain({
  source,
  destination,
  destinationType,
  routingKey,
  arguments: args,
}: Binding): Binding {
  return { source, destination, destinationType, routingKey, arguments: args };
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

function overriddenAt(queue: string, { policyIndex }: Inventory): string[] {
  const policy = overridingPolicy(policyIndex, queue);
  if (policy === undefined) return [];
  return [
    `policy "${policy.name}" (priority ${policy.priority}) applies to ${queue} instead of Warren's: ` +
      `give it a priority below ${POLICY_PRIORITY} or a pattern that leaves ${queue} out`,
  ];
}
