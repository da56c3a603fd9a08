/**
 * Families: the queues of one kind of one namespace, `shop.*` (`shop.loyalty`, …) and `shop.*.dead`.
 *
 * RabbitMQ compiles every pattern anew for every queue when a policy changes, and all of them when a queue is declared.
 * 1,000 subscriptions named one by one are 54 patterns of a kilobyte: each policy that is put then takes the broker 2.5 s.
 * So settings that many queues of a family share are set for the family, and only what is other is named (ADR 0019):
 *
 *   warren.<hash>.<shard>   ^shop\.[^.]+$                     quorum_queues   priority 9
 *   warren.<hash>.<shard>   ^(shop\.loyalty|shop\.payment)$   queues          priority 10
 */
import type { Inventory } from './inventory.ts';
import { bearsMark, hasMarkedQueue } from './marks.ts';
import type { Settings } from './objects.ts';

/** Below the policies that name their queues: they go before. */
export const FAMILY_PRIORITY = 9;
/** Families are of quorum queues: neither a stream nor a classic queue of the namespace takes their settings. */
export const FAMILY_APPLY_TO = 'quorum_queues';
/** Of so many queues with equal settings, a family is made: about as many as one policy can name. */
export const FAMILY_SIZE = 40;

/** `shop.*` or `shop.*.dead`; undefined for a queue of another kind. */
export function familyOf(queue: string): string | undefined {
  const [, namespace, dead = ''] = /^([a-z0-9-]+)\.[^.]+(\.dead)?$/.exec(queue) ?? [];
  return namespace === undefined ? undefined : `${namespace}.*${dead}`;
}

export function namespaceOfFamily(family: string): string {
  return family.split('.')[0] ?? '';
}

export function familyPattern(family: string): string {
  const [namespace = '', , dead] = family.split('.');
  return `^${namespace}\\.[^.]+${dead === undefined ? '' : '\\.dead'}$`;
}

/** The family of a pattern that `familyPattern` made; undefined for a pattern of another form. */
export function familyIn(pattern: string): string | undefined {
  const [, namespace, dead] = /^\^([a-z0-9-]+)\\\.\[\^\.\]\+(\\\.dead)?\$$/.exec(pattern) ?? [];
  if (namespace === undefined) return undefined;
  return `${namespace}.*${dead === undefined ? '' : '.dead'}`;
}

/** What drops messages where there are neither Warren's dead letters nor `reject-publish`: of somebody else's queue, that is. */
const DROPPING = ['message-ttl', 'max-length', 'max-length-bytes', 'expires'];

/**
 * Whether these settings can only be meant for quorum queues, as the policy of a family is, and do no harm to one that somebody
 * else declares in it later. A dead-letter queue has an age in any case: named, all of them would be as many policies as ever.
 */
export function suitsFamily(family: string, settings: Settings): boolean {
  if (family.endsWith('.dead')) return true;
  return 'delivery-limit' in settings && !DROPPING.some((key) => key in settings);
}

/** By its looks: a main queue tells it itself, a dead-letter queue by whatever is there of its subscription. */
function isMadeByWarren(name: string, found: Pick<Inventory, 'queues' | 'partitions'>): boolean {
  const main = mainOf(name);
  return main === name ? bearsMark(found.queues.get(name), name) : hasMarkedQueue(main, found);
}

/** The queue that a dead-letter queue belongs to. */
function mainOf(name: string): string {
  return familyOf(name)?.endsWith('.dead') === true ? name.slice(0, -5) : name;
}

/**
 * The quorum queues that a family's policy would apply to; undefined unless all of them are Warren's: by their looks. What a
 * policy of Warren's names may be somebody else's (foresight): it counts for a dead-letter queue only, whose queue is yet to be
 * made.
 */
export function membersOf(
  family: string,
  found: Pick<Inventory, 'queues' | 'partitions' | 'policyIndex'>,
): string[] | undefined {
  const { queues, policyIndex } = found;
  const isForeseen = (name: string) => !queues.has(mainOf(name)) && policyIndex.byQueue.has(name);
  const members: string[] = [];
  for (const { name, type } of queues.values()) {
    if (type !== 'quorum' || familyOf(name) !== family) continue;
    if (!isForeseen(name) && !isMadeByWarren(name, found)) return undefined;
    members.push(name);
  }
  return members;
}

/** The subscriptions whose queues are there, as `namespace.name`: whoever's resources they are. */
export function subscriptionsIn(
  found: Pick<Inventory, 'queues' | 'partitions' | 'policyIndex'>,
): Set<string> {
  const made = [...found.queues.keys()].filter((name) => isMadeByWarren(name, found));
  return new Set(
    [...made, ...found.policyIndex.byQueue.keys()].map((queue) => queue.split('.').slice(0, 2).join('.')),
  );
}
