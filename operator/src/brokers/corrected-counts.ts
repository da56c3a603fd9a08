/**
 * What the queues hold, as the broker counted it and as we know better.
 *
 * A count begins with a listing of the queues and ends a while later. What we have written since it began may or may not be
 * in it. And a queue that we made a moment ago is in no count before the broker's next tick.
 */
import type { QueueStats } from '@warren/rabbitmq';

/** What a queue that was just made holds. */
export const EMPTY: QueueStats = {
  messages: 0,
  ready: 0,
  unacked: 0,
  delayed: 0,
  consumers: 0,
  state: undefined,
};

/** What our last write made of a queue. */
export type QueueWrite = 'declared' | 'deleted';

export interface Counts {
  stats: Map<string, QueueStats>;
  /** Queues that we made and that the broker has not counted yet. */
  uncounted: Set<string>;
}

/**
 * @param counted as the broker tells
 * @param uncounted queues that we made, and that no count before this one had
 * @param since what we have written since this count began
 */
export function correctedCounts(
  counted: ReadonlyMap<string, QueueStats>,
  { uncounted, since }: { uncounted: ReadonlySet<string>; since: ReadonlyMap<string, QueueWrite> },
): Counts {
  const counts: Counts = { stats: new Map(counted), uncounted: new Set() };
  const asMade = (queue: string) => {
    counts.stats.set(queue, EMPTY);
    counts.uncounted.add(queue);
  };
  for (const queue of uncounted) {
    const stats = counted.get(queue);
    // One that is not there any more was deleted by somebody else.
    if (!since.has(queue) && stats !== undefined && stats.messages === undefined) asMade(queue);
  }
  for (const [queue, write] of since) {
    if (write === 'deleted') counts.stats.delete(queue);
    // What was counted under its name, if anything, is the one before it.
    else asMade(queue);
  }
  return counts;
}
