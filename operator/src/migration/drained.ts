/**
 * Whether a queue that takes no new events is empty for certain, and its wait queues with it.
 *
 * The broker counts each queue every few seconds, each in a moment of its own: a retry that goes to and fro between the queue and
 * a wait queue can be in no count, however often one looks. How many have gone into the wait queues it counts as late. So:
 *
 *   no retry has gone in ─▶ the wait queues are empty, and stay so ─▶ the queue is empty, and stays so
 *                        ─▶ still no retry has gone in: it was so all the time
 *
 * Each is of a reading so much later than the one before that it is counted after it. Nothing else is remembered; a restart
 * looks anew.
 */
import { COUNT_LAG_MS, drainedTogether } from '@warren/topology';
import type { Inventory, Names } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Reading } from '../brokers/mirror.ts';

type Counting = Pick<BrokerConnection, 'activityOf'>;

interface Looked {
  /** What had gone into the wait queues, and since when it is known to be no more: milliseconds of `performance.now()`. */
  retries: string;
  quietSince: number;
  /** Readings that have found all of them empty, each counted after the one before, and when the last was known. */
  readings: number;
  lastAt: number;
}

export class Drained {
  /** By broker and queue. */
  readonly #looked = new Map<string, Looked>();

  /** @param movedAt when a message was last moved, or could still be routed there: milliseconds of `performance.now()` */
  async look(
    key: string,
    names: Pick<Names, 'queue'>,
    { found, readAt }: { found: Inventory } & Pick<Reading, 'readAt'>,
    { movedAt, connection, signal }: { movedAt: number; connection: Counting; signal: AbortSignal },
  ): Promise<boolean> {
    const isEmpty = drainedTogether(names, found).every(({ messages }) => messages === 0);
    const waits = (found.waitQueues.get(names.queue) ?? []).map(({ name }) => name);
    const retries = await retriesInto(waits, connection, signal);
    const now = performance.now();
    const before = this.#looked.get(key);
    const looked =
      before?.retries === retries ? before : { retries, quietSince: now, readings: 0, lastAt: now };
    this.#looked.set(key, looked);
    if (!isEmpty || looked.lastAt < movedAt) looked.readings = 0;
    const first = waits.length === 0 ? readAt : looked.quietSince + COUNT_LAG_MS;
    if (isEmpty && readAt >= (looked.readings === 0 ? first : looked.lastAt + COUNT_LAG_MS)) {
      looked.readings += 1;
      looked.lastAt = now;
    }
    return looked.readings >= (waits.length === 0 ? 2 : 3);
  }

  forget(key: string): void {
    this.#looked.delete(key);
  }
}

/** How many messages have ever gone into each of these, as far as the broker counts them. */
export async function retriesInto(
  waits: readonly string[],
  connection: Counting,
  signal: AbortSignal,
): Promise<string> {
  if (waits.length === 0) return '';
  const activity = await connection.activityOf(waits, signal);
  return JSON.stringify([...activity].map(([name, { published }]) => [name, published]).sort());
}
