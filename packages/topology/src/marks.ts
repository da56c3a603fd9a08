/**
 * By what Warren knows its own among the queues that have a subscription's names: where their dead letters go, which nobody can
 * change. A name alone tells nothing: somebody else may have a queue `shop.loyalty.retry`.
 */
import type { Inventory } from './inventory.ts';
import { queueOfWaitQueue } from './names.ts';
import type { Queue } from './objects.ts';
import { streamQueuesOf } from './queue-types.ts';

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
  const hasRetries = queues.get(retries)?.arguments['x-dead-letter-routing-key'] === queue;
  const isStream = hasRetries || queues.get(queue)?.type === 'stream';
  const hasOffsets = isStream && queues.get(offsets)?.arguments['x-single-active-consumer'] === true;
  // The retries last: they tell whose the offsets are.
  return [...(hasOffsets ? [offsets] : []), ...(hasRetries ? [retries] : [])];
}
