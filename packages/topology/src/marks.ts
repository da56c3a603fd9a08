/**
 * By what Warren knows its own among the queues that have a subscription's names: where their dead letters go, which nobody can
 * change. A name alone tells nothing: somebody else may have a queue `shop.loyalty.retry` or `shop.loyalty.partition.03`.
 */
import type { Inventory } from './inventory.ts';
import { queueOfWaitQueue } from './names.ts';
import type { Exchange, FoundQueue, Queue, WantedTopology } from './objects.ts';
import { HASH_EXCHANGE, KEY_HEADER, keysOf } from './partitions.ts';
import { keepsOrder, streamQueuesOf } from './queue-types.ts';
import { describeForeign, temporaryNamesOf } from './temporary.ts';

/** It gives its dead letters the name of this queue, and refuses what it cannot take. */
export function bearsMark(queue: FoundQueue | undefined, of: string): boolean {
  const { 'x-dead-letter-routing-key': key, 'x-overflow': overflow } = queue?.arguments ?? {};
  return key === of && overflow === 'reject-publish';
}

/** Whether a subscription's own queue is there, of whatever type and layout, or in the middle of a migration. */
export function hasMarkedQueue(
  queue: string,
  { queues, partitions }: Pick<Inventory, 'queues' | 'partitions'>,
): boolean {
  const { arriving, waited } = temporaryNamesOf(queue);
  const { retries } = streamQueuesOf(queue);
  const there = [queue, retries, arriving, waited].map((name) => queues.get(name));
  return [...there, ...(partitions.get(queue) ?? [])].some((each) => bearsMark(each, queue));
}

/** Whether something of a subscription is there that only Warren makes: the dead-letter queue is known by its binding. */
export function isMarked(
  { queue, deadLetterQueue, exchanges }: WantedTopology['names'],
  found: Inventory,
): boolean {
  return (
    hasMarkedQueue(queue, found) ||
    (found.bindings.get(deadLetterQueue) ?? []).some(
      ({ source, routingKey }) => source === exchanges.failedEvents && routingKey === queue,
    )
  );
}

/** The exchange that leads to the partitions of a subscription is there, known by what it hashes. */
export function hasKeys({ keys }: { keys: string }, { exchanges }: Pick<Inventory, 'exchanges'>): boolean {
  const there = exchanges.get(keys);
  return there?.type === HASH_EXCHANGE && there.arguments['hash-header'] === KEY_HEADER;
}

/** The partitions that are there, in their order: those that Warren made, and those that the keys lead to. */
export function foundPartitions(queue: string, found: Inventory): FoundQueue[] {
  const keys = keysOf(queue);
  const isLedTo = ({ name }: FoundQueue) =>
    hasKeys({ keys }, found) && (found.bindings.get(name) ?? []).some(({ source }) => source === keys);
  return (found.partitions.get(queue) ?? []).filter((each) => bearsMark(each, queue) || isLedTo(each));
}

/** The queue whose messages a wait queue holds; undefined for one that gives its messages back to nobody of that name. */
export function waitsFor({ name, arguments: args }: Pick<Queue, 'name' | 'arguments'>): string | undefined {
  const queue = queueOfWaitQueue(name);
  if (queue === undefined || args['x-dead-letter-exchange'] !== '') return undefined;
  const backTo = [queue, streamQueuesOf(queue).retries];
  return backTo.some((each) => args['x-dead-letter-routing-key'] === each) ? queue : undefined;
}

/** What was made beside a stream, as far as it is there, also where the stream is gone already. */
export function besideStream(queue: string, { queues }: Pick<Inventory, 'queues'>): string[] {
  const { offsets, retries } = streamQueuesOf(queue);
  const hasRetries = bearsMark(queues.get(retries), queue);
  const isStream = hasRetries || queues.get(queue)?.type === 'stream';
  const place = queues.get(offsets);
  const hasOffsets = isStream && place !== undefined && keepsOrder(place);
  // The retries last: they tell whose the offsets are.
  return [...(hasOffsets ? [offsets] : []), ...(hasRetries ? [retries] : [])];
}

/** What is wanted beside a subscription's own queue, or instead of it, and somebody else has: sentences. */
export function besideConflicts({ names, exchanges, queues }: WantedTopology, found: Inventory): string[] {
  const { queue, keys, partitions } = names;
  const { retries, offsets } = streamQueuesOf(queue);
  const ours = new Set(foundPartitions(queue, found).map(({ name }) => name));
  const isOurs = (wanted: Queue, there: FoundQueue) => {
    if (partitions.includes(wanted.name)) return ours.has(wanted.name);
    if (wanted.name === retries) return bearsMark(there, queue);
    if (wanted.name === offsets) return keepsOrder(there);
    return waitsFor(wanted) === undefined || waitsFor(there) !== undefined;
  };
  // Of keys of another type their exchange tells.
  const isForeign = ({ name, type }: Exchange) =>
    name === keys && found.exchanges.get(name)?.type === type && !hasKeys(names, found);
  const forPartitions = `for the partitions of ${queue}`;
  return [
    ...exchanges.filter(isForeign).map(({ name }) => describeForeign(`exchange ${name}`, forPartitions)),
    ...queues.flatMap((wanted) => {
      const there = found.queues.get(wanted.name);
      if (there === undefined || isOurs(wanted, there)) return [];
      const where = partitions.includes(wanted.name) ? forPartitions : `beside queue ${queue}`;
      return [describeForeign(`queue ${wanted.name}`, where)];
    }),
  ];
}
