/**
 * By what Warren knows its own among the queues that have a subscription's names: where their dead letters go, which nobody can
 * change. A name alone tells nothing: somebody else may have a queue `shop.loyalty.retry`.
 */
import type { Inventory } from './inventory.ts';
import { queueOfWaitQueue } from './names.ts';
import type { FoundQueue, Queue, WantedTopology } from './objects.ts';
import { keepsOrder, streamQueuesOf } from './queue-types.ts';
import { describeForeign, temporaryNamesOf } from './temporary.ts';

/** It gives its dead letters the name of this queue, and refuses what it cannot take. */
export function bearsMark(queue: FoundQueue | undefined, of: string): boolean {
  const { 'x-dead-letter-routing-key': key, 'x-overflow': overflow } = queue?.arguments ?? {};
  return key === of && overflow === 'reject-publish';
}

/**
 * Whether something of a subscription is there that only Warren makes, be its queue of whatever type and layout, or in the middle
 * of a migration: the dead-letter queue is known by its binding.
 */
export function isMarked(
  { queue, deadLetterQueue, exchanges }: WantedTopology['names'],
  { queues, partitions, bindings }: Inventory,
): boolean {
  const { arriving, waited } = temporaryNamesOf(queue);
  const { retries } = streamQueuesOf(queue);
  const marked = [queue, retries, arriving, waited].map((name) => queues.get(name));
  return (
    [...marked, ...(partitions.get(queue) ?? [])].some((each) => bearsMark(each, queue)) ||
    (bindings.get(deadLetterQueue) ?? []).some(
      ({ source, routingKey }) => source === exchanges.failedEvents && routingKey === queue,
    )
  );
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

/** Queues that are wanted beside a subscription's own, and that somebody else has: sentences. */
export function besideConflicts({ names, queues }: WantedTopology, found: Inventory): string[] {
  const { retries, offsets } = streamQueuesOf(names.queue);
  const isOurs = (wanted: Queue, there: FoundQueue) => {
    if (wanted.name === retries) return bearsMark(there, names.queue);
    if (wanted.name === offsets) return keepsOrder(there);
    return waitsFor(wanted) === undefined || waitsFor(there) !== undefined;
  };
  return queues.flatMap((wanted) => {
    const there = found.queues.get(wanted.name);
    if (there === undefined || isOurs(wanted, there)) return [];
    return [describeForeign(`queue ${wanted.name}`, `beside queue ${names.queue}`)];
  });
}
