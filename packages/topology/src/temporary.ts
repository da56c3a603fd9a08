/**
 * The temporary objects of a migration (migration.ts) or a takeover (takeover.ts), and by what they are known. Somebody else may
 * have made something under one of their names: that is a conflict, and is left alone.
 */
import type { Inventory } from './inventory.ts';
import type { ObjectStep } from './steps.ts';

export interface TemporaryNames {
  points: string;
  aside: string;
  arriving: string;
  waited: string;
  returning: string;
  passing: string;
}

export function temporaryNamesOf(queue: string): TemporaryNames {
  return {
    points: `${queue}.points`,
    aside: `${queue}.aside`,
    arriving: `${queue}.arriving`,
    waited: `${queue}.waited`,
    returning: `${queue}.returning`,
    passing: `${queue}.passing`,
  };
}

/** A subscription's queue and its dead-letter queue: each can be migrated. */
interface Names {
  queue: string;
  deadLetterQueue: string;
}

/** Whether something of this name is there, and is what Warren makes while it migrates the queue. */
export function isTemporary(name: string, queue: string, found: Inventory): boolean {
  const { points, arriving, waited } = temporaryNamesOf(queue);
  if (name === points) return isPoints(queue, found);
  return [arriving, waited].includes(name) ? isBeside(name, queue, found) : isFanout(name, queue, found);
}

/** The temporary objects of a subscription that are there: a deletion that cannot wait takes them along. */
export function temporaryObjects(names: Names, found: Inventory): ObjectStep[] {
  return sitesOf(names).flatMap((site) => {
    const isOurs = (name: string) => isTemporary(name, site, found);
    const { exchanges, queues } = namesBy(site);
    return [
      ...exchanges.filter(isOurs).map((exchange) => ({ step: 'deleteExchange', exchange }) as const),
      ...queues.filter(isOurs).map((queue) => ({ step: 'deleteQueue', queue, onlyIfEmpty: false }) as const),
    ];
  });
}

/** What somebody else has under the names that a migration of a subscription needs: sentences. */
export function temporaryConflicts(names: Names, found: Inventory): string[] {
  return sitesOf(names).flatMap((site) => conflictsAt(site, found));
}

/** The same for one of its queues. */
export function conflictsAt(queue: string, found: Inventory): string[] {
  const { exchanges, queues } = namesBy(queue);
  return [
    ...exchanges.filter((name) => found.exchanges.has(name)).map((name) => ['exchange', name] as const),
    ...queues.filter((name) => found.queues.has(name)).map((name) => ['queue', name] as const),
  ]
    .filter(([, name]) => !isTemporary(name, queue, found))
    .map(([kind, name]) => describeForeign(`${kind} ${name}`, `while it migrates queue ${queue}`));
}

/** @param what `queue shop.loyalty.retry` @param where Warren makes one of that name */
export function describeForeign(what: string, where: string): string {
  return `${what} is somebody else's, and Warren makes one of that name ${where}: delete it or choose another name`;
}

function sitesOf({ queue, deadLetterQueue }: Names): string[] {
  return [queue, deadLetterQueue];
}

function namesBy(queue: string): { exchanges: string[]; queues: string[] } {
  const { points, aside, returning, passing, arriving, waited } = temporaryNamesOf(queue);
  return { exchanges: [points, aside, returning, passing], queues: [arriving, waited] };
}

function isPoints(queue: string, { exchanges }: Inventory): boolean {
  const { points, aside } = temporaryNamesOf(queue);
  const there = exchanges.get(points);
  return there?.type === 'fanout' && there.durable && there.arguments['alternate-exchange'] === aside;
}

/** One that leads somebody else's messages somewhere is theirs: those of Warren lead to what arrives, or nowhere. */
function isFanout(name: string, queue: string, found: Inventory): boolean {
  const there = found.exchanges.get(name);
  if (there?.type !== 'fanout' || !there.durable || Object.keys(there.arguments).length > 0) return false;
  const { arriving } = temporaryNamesOf(queue);
  return ![...found.bindings.values(), ...found.exchangeBindings.values()].some((bindings) =>
    bindings.some(({ source, destination }) => source === name && destination !== arriving),
  );
}

/** Its dead letters are the queue's. Where they are another one's, or nobody's, the migration around it tells whose it is. */
function isBeside(name: string, queue: string, found: Inventory): boolean {
  const there = found.queues.get(name);
  if (there?.type !== 'quorum' || there.arguments['x-single-active-consumer'] !== true) return false;
  return (
    there.arguments['x-dead-letter-routing-key'] === queue ||
    found.policyIndex.byQueue.has(name) ||
    isPoints(queue, found)
  );
}
