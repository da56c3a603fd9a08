/**
 * Whether queues that take no new events are empty for certain, and their wait queues with them: before any of them is deleted
 * as empty, by a migration, a takeover or a deletion.
 *
 * The broker counts each queue every few seconds, each in a moment of its own: a retry that goes to and fro between the queue and
 * a wait queue can be in no count, however often one looks. How many have gone into the wait queues it counts as late. So:
 *
 *   no retry has gone in ─▶ the wait queues are empty, and stay so ─▶ the queue is empty, and stays so
 *                        ─▶ still no retry has gone in: it was so all the time; and no dead letter came of it that is not counted
 *
 * Each is of a reading so much later than the one before that it is counted after it. Without wait queues the last two do.
 * Nothing else is remembered; a restart looks anew.
 */
import { COUNT_LAG_MS, drainedTogether, waitsBeside } from '@warren/topology';
import type { Inventory, Names } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Reading } from '../brokers/mirror.ts';

type Counting = Pick<BrokerConnection, 'activityOf'>;

export interface Counts extends Pick<Reading, 'readAt'> {
  /** All of them were, as this reading counts them: where dead letters are among them, by counts of after `movedAt`. */
  areEmpty: boolean;
  /** The wait queues among them. */
  waits: readonly string[];
}

export interface Answer {
  drained: boolean;
  /** From when on a reading tells more, if it finds them empty: milliseconds of `performance.now()`. */
  againAt: number;
}

interface Looked {
  /** What had gone into the wait queues, and since when it is known to be no more: milliseconds of `performance.now()`. */
  retries: string;
  quietSince: number;
  /** Readings that have found all of them empty, each counted after the one before, and when the last was known. */
  readings: number;
  lastAt: number;
}

export class Drained {
  readonly #looked = new Map<string, Looked>();

  /** @param movedAt when a message was last moved, or could still be routed there: milliseconds of `performance.now()` */
  async look(
    key: string,
    { areEmpty, waits, readAt }: Counts,
    { movedAt, connection, signal }: { movedAt: number; connection: Counting; signal: AbortSignal },
  ): Promise<Answer> {
    const retries = await retriesInto(waits, connection, signal);
    const now = performance.now();
    const before = this.#looked.get(key);
    const looked =
      before?.retries === retries ? before : { retries, quietSince: now, readings: 0, lastAt: now };
    this.#looked.set(key, looked);
    if (!areEmpty || looked.lastAt < movedAt) looked.readings = 0;
    const first = waits.length === 0 ? readAt : looked.quietSince + COUNT_LAG_MS;
    if (areEmpty && readAt >= (looked.readings === 0 ? first : looked.lastAt + COUNT_LAG_MS)) {
      looked.readings += 1;
      looked.lastAt = now;
    }
    return {
      drained: looked.readings >= (waits.length === 0 ? 2 : 3),
      againAt: looked.readings === 0 ? first : looked.lastAt + COUNT_LAG_MS,
    };
  }

  forget(key: string): void {
    this.#looked.delete(key);
  }
}

/** Of what a migration or a takeover empties. */
export function countsTogether(
  names: Pick<Names, 'queue'>,
  { found, readAt }: { found: Inventory } & Pick<Reading, 'readAt'>,
): Counts {
  return {
    areEmpty: drainedTogether(names, found).every(({ messages }) => messages === 0),
    waits: waitsBeside(names, found),
    readAt,
  };
}

/** How many messages have ever gone into each of these, as far as the broker counts them. */
async function retriesInto(
  waits: readonly string[],
  connection: Counting,
  signal: AbortSignal,
): Promise<string> {
  if (waits.length === 0) return '';
  const activity = await connection.activityOf(waits, signal);
  return JSON.stringify([...activity].map(([name, { published }]) => [name, published]).sort());
}
