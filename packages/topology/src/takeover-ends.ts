/**
 * The two ends of a takeover (takeover.ts): how the messages of the old subscription lie, and those of the new one. One queue, or
 * partitions behind the exchange that leads to them. Pure, by what is found.
 */
import type { Inventory } from './inventory.ts';
import { boundTo, deliveriesOf, entranceOf, foundDeliveries, layoutChange } from './layout.ts';
import type { Entrance } from './layout.ts';
import { foundPartitions, hasKeys } from './marks.ts';
import { moving, unbind } from './migration-steps.ts';
import { keepsOrder } from './queue-types.ts';
import type { MigrationStep } from './migration-steps.ts';
import type { ExchangeNames, Names } from './names.ts';
import type { FoundQueue, WantedTopology } from './objects.ts';
import { keysOf } from './partitions.ts';
import type { ObjectStep } from './steps.ts';
import { isTemporary, temporaryNamesOf } from './temporary.ts';

type Queue = Pick<Names, 'queue'>;

export interface NewEnd {
  entrance: Entrance;
  /** One message of a key, or of all, at a time. */
  isOrdered: boolean;
  /** Otherwise the layout was edited in the middle: the one that is there is filled, and changed when that is over. */
  isAsWanted: boolean;
}

export function newEndOf(wanted: WantedTopology, found: Inventory): NewEnd {
  const { names, queues } = wanted;
  const there = layoutChange(wanted, found) === undefined ? undefined : wayIn(names, found);
  if (there !== undefined)
    return {
      entrance: there,
      isOrdered: foundDeliveries(names, found).some(keepsOrder),
      isAsWanted: false,
    };
  const deliveries = deliveriesOf(names);
  return {
    entrance: entranceOf(names),
    isOrdered: queues.some((queue) => deliveries.includes(queue.name) && keepsOrder(queue)),
    isAsWanted: true,
  };
}

/** Where events may be bound to, of whatever layout. */
export function entrancesOf({ queue }: Queue, found: Inventory): Entrance[] {
  const keys = keysOf(queue);
  return [
    ...(found.queues.has(queue) ? [{ name: queue, kind: 'queue' } as const] : []),
    ...(hasKeys({ keys }, found) ? [{ name: keys, kind: 'exchange' } as const] : []),
  ];
}

/** Through which messages reach a queue of a subscription that is there. */
function wayIn({ queue }: Queue, found: Inventory): Entrance | undefined {
  const keys = keysOf(queue);
  const isLinked = foundPartitions(queue, found).some(({ name }) =>
    (found.bindings.get(name) ?? []).some(({ source }) => source === keys),
  );
  return entrancesOf({ queue }, found)
    .reverse()
    .find(({ kind }) => kind === 'queue' || isLinked);
}

/** The queues of a subscription that hold messages which wait, wait queues included: they are emptied together. */
export function drainedTogether({ queue }: Queue, found: Inventory): FoundQueue[] {
  return [...(found.waitQueues.get(queue) ?? []), ...foundDeliveries({ queue }, found)];
}

/** What a takeover that was called off has bound to the old one's points: it goes before the old one takes its events back. */
export function strayBindings({ queue }: Queue, found: Inventory): ObjectStep[] {
  const { points } = temporaryNamesOf(queue);
  if (!isTemporary(points, queue, found)) return [];
  const own = [queue, keysOf(queue)];
  return [...found.bindings.values(), ...found.exchangeBindings.values()]
    .flat()
    .filter(({ source, destination }) => source === points && !own.includes(destination))
    .map(unbind);
}

/**
 * From here on a takeover is not called off any more: it goes on to its end. The new one takes its events itself; or, where it
 * keeps an order, what waited is on its way to it.
 */
export function isPastReturn(old: Queue, to: Queue, exchanges: ExchangeNames, found: Inventory): boolean {
  const { passing } = temporaryNamesOf(old.queue);
  return isTemporary(passing, old.queue, found) || takesItsEvents(to, exchanges, found);
}

/** A subscription is bound to its events itself. */
export function takesItsEvents({ queue }: Queue, { events }: ExchangeNames, found: Inventory): boolean {
  return entrancesOf({ queue }, found)
    .flatMap((entrance) => boundTo(found, entrance))
    .some(({ source }) => source === events);
}

/** A takeover was called off: what the new queues hold goes back to the old ones, as far as they are there. None: all is done. */
export function givingBack(old: Names, to: Names, found: Inventory): MigrationStep[] {
  const isFilled = (name: string) => found.queues.has(name) && found.queues.get(name)?.messages !== 0;
  const way = wayIn(old, found);
  const back = drainedTogether(to, found).map(({ name }) => name);
  const dead = found.queues.has(old.deadLetterQueue) && isFilled(to.deadLetterQueue);
  return [
    ...(way === undefined ? [] : back.filter(isFilled).map((name) => moving(name, way, found))),
    ...(dead ? [moving(to.deadLetterQueue, old.deadLetterQueue, found)] : []),
  ];
}
