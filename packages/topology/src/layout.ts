/** How a subscription's messages lie, one queue or partitions by key, and in what it is other than wanted. */
import { canonical } from './canonical.ts';
import type { Inventory } from './inventory.ts';
import { foundPartitions, hasKeys } from './marks.ts';
import type { Binding, FoundQueue, WantedTopology } from './objects.ts';

type Names = WantedTopology['names'];

/** Where the events are bound to. */
export interface Entrance {
  name: string;
  kind: Binding['destinationType'];
}

export function entranceOf({ queue, keys, partitions }: Names): Entrance {
  return partitions.length === 0 ? { name: queue, kind: 'queue' } : { name: keys, kind: 'exchange' };
}

/** The queues that consumers read. */
export function deliveriesOf({ queue, partitions }: Names): string[] {
  return partitions.length === 0 ? [queue] : partitions;
}

export function boundTo(found: Inventory, { name, kind }: Entrance): readonly Binding[] {
  return (kind === 'queue' ? found.bindings : found.exchangeBindings).get(name) ?? [];
}

/** Every queue that holds, or may hold, messages of a subscription, of whatever layout. */
export function foundDeliveries({ queue }: Pick<Names, 'queue'>, found: Inventory): FoundQueue[] {
  const main = found.queues.get(queue);
  return [...(main === undefined ? [] : [main]), ...foundPartitions(queue, found)];
}

/** Those in which the broker delays retries: what is neither ready nor unacknowledged. */
export function delayingQueues(names: Pick<Names, 'queue'>, found: Inventory): FoundQueue[] {
  return foundDeliveries(names, found).filter(
    ({ messages = 0, ready = messages, unacked = 0 }) => messages > ready + unacked,
  );
}

/** The names of the wait queues that give back to a queue. */
export function waitsBeside({ queue }: Pick<Names, 'queue'>, found: Inventory): string[] {
  return (found.waitQueues.get(queue) ?? []).map(({ name }) => name);
}

/** What the queue or the partitions of a subscription hold; undefined where the broker does not tell, or none is there. */
export function messagesOf(names: Pick<Names, 'queue'>, found: Inventory): number | undefined {
  const counts = foundDeliveries(names, found).map(({ messages }) => messages);
  if (counts.length === 0) return undefined;
  return counts.reduce((sum, each) => (sum === undefined || each === undefined ? undefined : sum + each));
}

/**
 * Undefined where the layout is as wanted, or nothing is in it that could lose its order, so that what is missing can simply
 * be made. `from` and `to` are numbers of partitions, or `none`.
 */
export function layoutChange(
  wanted: WantedTopology,
  found: Inventory,
): { property: 'partitions'; from: string; to: string } | undefined {
  const { names } = wanted;
  const { queue, partitions } = names;
  const there = foundPartitions(queue, found);
  const change = (from: number | string) => ({
    property: 'partitions' as const,
    from: from === 0 ? 'none' : String(from),
    to: partitions.length === 0 ? 'none' : String(partitions.length),
  });
  if (partitions.length === 0)
    return there.length > 0 || hasKeys(names, found) ? change(there.length) : undefined;
  const isLeft = found.queues.has(queue) || there.some(({ name }) => !partitions.includes(name));
  if (isLeft) return change(there.length);
  if (!hasKeys(names, found) || !isInUse(names, found)) return undefined;
  const bound = partitions.flatMap((name) => ringAt(name, names, found));
  const ring = wanted.bindings.filter(({ source }) => source === names.keys);
  if (canonical(bound.map(keyOf)) === canonical(ring.map(keyOf)) && isKeyed(wanted, found)) return undefined;
  return change(there.length < partitions.length ? there.length : `${bound.length} of ${partitions.length}`);
}

/** The bindings by which the keys' exchange leads to a partition. */
export function ringAt(partition: string, { keys }: Pick<Names, 'keys'>, found: Inventory): Binding[] {
  return (found.bindings.get(partition) ?? []).filter(({ source }) => source === keys);
}

/** Something is routed by the keys, or was: another ring now would part messages of one key. */
function isInUse(names: Names, found: Inventory): boolean {
  return (
    (found.exchangeBindings.get(names.keys) ?? []).length > 0 ||
    foundPartitions(names.queue, found).some(({ messages = 0 }) => messages > 0)
  );
}

function isKeyed({ exchanges, names }: WantedTopology, found: Inventory): boolean {
  const should = exchanges.find(({ name }) => name === names.keys);
  const is = found.exchanges.get(names.keys);
  return canonical(should?.arguments ?? {}) === canonical(is?.arguments ?? {});
}

function keyOf({ destination, routingKey, arguments: args }: Binding): unknown {
  return { destination, routingKey, arguments: args };
}
