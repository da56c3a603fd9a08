/**
 * Until when the broker delays retries in the queues of a subscription: nothing gives them out before, neither another policy nor
 * a new consumer, so that a queue that is to be emptied may wait for them for a day.
 */
import { delayingQueues } from '@warren/topology';
import type { Inventory, Names } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';

/** What is new may wait for so long until a queue is made anew: milliseconds. */
const HELD_UP_MS = 60_000;

/** By queue, milliseconds since 1970: of those where it is longer than what is new may wait. */
export async function delaysOf(
  names: Pick<Names, 'queue'>,
  found: Inventory,
  connection: Pick<BrokerConnection, 'activityOf'>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const delaying = delayingQueues(names, found);
  if (delaying.length === 0) return new Map();
  const activity = await connection.activityOf(
    delaying.map(({ name }) => name),
    signal,
  );
  const late = Date.now() + HELD_UP_MS;
  return new Map(
    [...activity].flatMap(([name, { delayedUntil = 0 }]) =>
      delayedUntil > late ? [[name, delayedUntil]] : [],
    ),
  );
}
