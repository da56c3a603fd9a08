/** The numbers in a subscription's status, out of the counts of its queues. */
import { isDeepStrictEqual } from 'node:util';
import { namesOf, partitionsOf } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { MessageCounts, PartitionCounts, SubscriptionResource } from '../resources.ts';
import { namespaceOf } from './claims.ts';
import type { Counts } from './status.ts';

/** How much another age of the first message is worth telling: milliseconds. */
const NEWS_MS = 60_000;

/** Undefined where one of them is not known: that is not zero. Of a stream nobody knows what is ready. */
export function countsOf(
  resource: SubscriptionResource,
  connection: Pick<BrokerConnection, 'statsOf'>,
): Counts | undefined {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  const partitions = partitionsOf(queue, resource.spec);
  const { ready, unacked, consumers, oldest } = totalOf(
    partitions.length === 0 ? [queue] : partitions,
    connection,
  );
  const { messages: deadLetters } = connection.statsOf(deadLetterQueue) ?? {};
  if (consumers === undefined || deadLetters === undefined) return undefined;
  if (resource.spec.queue.type === 'stream') return { deadLetters, consumers };
  if (ready === undefined || unacked === undefined) return undefined;
  return {
    ...{ ready, unacked, deadLetters, consumers },
    ...(oldest === undefined ? {} : { oldest }),
    ...(partitions.length === 0
      ? {}
      : { partitions: partitions.map((name) => partitionCounts(name, connection)) }),
  };
}

function partitionCounts(queue: string, connection: Pick<BrokerConnection, 'statsOf'>): PartitionCounts {
  const { ready = 0, unacked = 0 } = connection.statsOf(queue) ?? {};
  return { queue, ready, unacked };
}

/** Of all of them; each consumer consumes every one. Undefined where one is not known. */
function totalOf(
  queues: readonly string[],
  connection: Pick<BrokerConnection, 'statsOf'>,
): Partial<Record<'ready' | 'unacked' | 'consumers' | 'oldest', number>> {
  const all = queues.map((queue) => connection.statsOf(queue));
  const over = (which: 'ready' | 'unacked' | 'consumers', join: (a: number, b: number) => number) =>
    all
      .map((stats) => stats?.[which])
      .reduce((a, b) => (a === undefined || b === undefined ? undefined : join(a, b)));
  const oldest = all.flatMap((stats) => (stats?.oldest === undefined ? [] : [stats.oldest]));
  const sum = (a: number, b: number) => a + b;
  const [ready, unacked, consumers] = [over('ready', sum), over('unacked', sum), over('consumers', Math.max)];
  return {
    ...(ready === undefined ? {} : { ready }),
    ...(unacked === undefined ? {} : { unacked }),
    ...(consumers === undefined ? {} : { consumers }),
    ...(oldest.length === 0 ? {} : { oldest: Math.min(...oldest) }),
  };
}

/** What the status says of the messages. @param now ISO 8601 */
export function messagesOf(
  counts: Counts | undefined,
  before: MessageCounts | undefined,
  now: string,
): MessageCounts | undefined {
  if (counts === undefined) return before;
  const { ready, unacked, deadLetters } = counts;
  const since = waitingSince(counts, before, now);
  return {
    ...(ready === undefined ? {} : { ready }),
    ...(unacked === undefined ? {} : { unacked }),
    deadLetters,
    ...(since === undefined ? {} : { waitingSince: since }),
  };
}

/**
 * The broker tells the age of the first message of a classic queue alone. Of others it is known since when the queue has not
 * been seen empty: no message in it is older.
 */
function waitingSince(
  { ready = 0, oldest }: Counts,
  before: MessageCounts | undefined,
  now: string,
): string | undefined {
  if (ready === 0) return undefined;
  const known = oldest === undefined ? undefined : new Date(oldest).toISOString();
  const said = before?.waitingSince;
  if (known === undefined) return said ?? now;
  // A queue that is worked off has another first message at every look: that alone is no news.
  const isNear = said !== undefined && Math.abs(Date.parse(known) - Date.parse(said)) < NEWS_MS;
  return isNear ? said : known;
}

/** Whether the status says something else than what was counted. */
export function isCountedAnew({ status }: SubscriptionResource, counts: Counts | undefined): boolean {
  if (counts === undefined) return false;
  const { messages, consumers, partitions } = status ?? {};
  const since = messagesOf(counts, messages, new Date().toISOString())?.waitingSince;
  return (
    messages === undefined ||
    messages.ready !== counts.ready ||
    messages.unacked !== counts.unacked ||
    messages.deadLetters !== counts.deadLetters ||
    messages.waitingSince !== since ||
    consumers !== counts.consumers ||
    !isDeepStrictEqual(partitions, counts.partitions)
  );
}
