/**
 * Warren's policies: as few as there are distinct settings, each shared by the queues that have them (ADR 0009).
 *
 *   warren.<hash of the settings>.<shard>   ^(shop\.loyalty|shop\.payment)$   queues   priority 10
 *
 * What many queues of a namespace share is set for their family (families.ts). Who else belongs to a policy is read out of its pattern: nothing else remembers it. At most one policy applies to a queue, the
 * one of the highest priority; what other people set with a lower one is not merged in.
 */
import { createHash } from 'node:crypto';
import { canonical, isSameValue } from './canonical.ts';
import { FAMILY_APPLY_TO, FAMILY_PRIORITY, familyIn, familyOf, familyPattern } from './families.ts';
import type { Policy, Settings } from './objects.ts';
import { matcherOf } from './patterns.ts';
import type { QueueType } from './spec.ts';

export const POLICY_PRIORITY = 10;
/** Of whatever type: the pattern names them one by one. */
const APPLY_TO = 'queues';
/** What `apply-to` says for the queues of a type. */
const APPLY_TO_TYPE: Record<QueueType, string> = {
  quorum: 'quorum_queues',
  classic: 'classic_queues',
  stream: 'streams',
};

/** Those of a policy are asked for once for every queue that it is for. */
const hashes = new WeakMap<Settings, string>();

/** The hash in the names of the policies that carry these settings. */
export function settingsHash(settings: Settings): string {
  const known = hashes.get(settings);
  if (known !== undefined) return known;
  const hash = createHash('sha256').update(canonical(settings)).digest('hex').slice(0, 10);
  hashes.set(settings, hash);
  return hash;
}

export function policyOf(settings: Settings, shard: number, queues: Iterable<string>): Policy {
  return {
    name: `warren.${settingsHash(settings)}.${shard}`,
    pattern: patternOf(queues),
    applyTo: APPLY_TO,
    priority: POLICY_PRIORITY,
    definition: settings,
  };
}

/** For all queues of a family but those that another policy names. */
export function familyPolicyOf(settings: Settings, shard: number, family: string): Policy {
  return {
    name: `warren.${settingsHash(settings)}.${shard}`,
    pattern: familyPattern(family),
    applyTo: FAMILY_APPLY_TO,
    priority: FAMILY_PRIORITY,
    definition: settings,
  };
}

/** What the name of a policy of ours says; undefined for anybody else's. */
export function readPolicyName(name: string): { hash: string; shard: number } | undefined {
  const [, hash, shard] = /^warren\.([0-9a-f]{10})\.([0-9]{1,6})$/.exec(name) ?? [];
  return hash === undefined ? undefined : { hash, shard: Number(shard) };
}

/** Matches exactly these queues. */
export function patternOf(queues: Iterable<string>): string {
  return `^(${[...queues].sort().map(escaped).join('|')})$`;
}

/** A queue's name as a pattern that matches it and nothing else. */
export function escaped(queue: string): string {
  return queue.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** The queues of a pattern that `patternOf` made; undefined for a pattern of another form. */
export function queuesIn(pattern: string): Set<string> | undefined {
  const [, alternatives] = /^\^\((.+)\)\$$/.exec(pattern) ?? [];
  if (alternatives === undefined) return undefined;
  const queues = (alternatives.match(/(?:\\.|[^\\|])+/g) ?? []).map((one) => one.replaceAll(/\\(.)/g, '$1'));
  return alternatives === queues.map(escaped).join('|') ? new Set(queues) : undefined;
}

/** Whether a policy is as its name promises, whatever queues it is for. */
export function isIntact({ name, pattern, applyTo, priority, definition }: Policy): boolean {
  const isFamily = familyIn(pattern) !== undefined;
  return (
    readPolicyName(name)?.hash === settingsHash(definition) &&
    applyTo === (isFamily ? FAMILY_APPLY_TO : APPLY_TO) &&
    priority === (isFamily ? FAMILY_PRIORITY : POLICY_PRIORITY)
  );
}

/** The policies of a virtual host, by the queues they name; those that must be matched one by one are few. */
export interface PolicyIndex {
  /** Ours, by the queues that they name. */
  byQueue: ReadonlyMap<string, readonly Policy[]>;
  /** Ours, by family. */
  byFamily: ReadonlyMap<string, readonly Policy[]>;
  /** Other people's, and ours whose pattern was changed by hand. */
  others: readonly { policy: Policy; matches: (queue: string) => boolean }[];
}

export function policyIndexOf(policies: readonly Policy[]): PolicyIndex {
  const byQueue = new Map<string, Policy[]>();
  const byFamily = new Map<string, Policy[]>();
  const others: { policy: Policy; matches: (queue: string) => boolean }[] = [];
  for (const policy of policies) {
    const isOurs = readPolicyName(policy.name) !== undefined;
    const family = isOurs ? familyIn(policy.pattern) : undefined;
    const queues = isOurs ? queuesIn(policy.pattern) : undefined;
    if (family !== undefined) byFamily.set(family, [...(byFamily.get(family) ?? []), policy]);
    else if (queues === undefined) others.push({ policy, matches: matcherOf(policy.pattern) });
    else for (const queue of queues) byQueue.set(queue, [...(byQueue.get(queue) ?? []), policy]);
  }
  return { byQueue, byFamily, others };
}

/** Whether a policy is for queues of this type. */
export function isFor({ applyTo }: Policy, type: QueueType): boolean {
  return ['all', 'queues', APPLY_TO_TYPE[type]].includes(applyTo);
}

/**
 * The policy that the broker applies to a queue of a type: of those that match, the one of the highest priority. Among equals
 * nobody can tell; ours is named first.
 */
export function effectivePolicy(
  policies: PolicyIndex | readonly Policy[],
  queue: string,
  type: QueueType = 'quorum',
): Policy | undefined {
  const index = 'byQueue' in policies ? policies : policyIndexOf(policies);
  return [...ourPolicies(index, queue), ...foreignPolicies(index, queue)]
    .filter((policy) => isFor(policy, type))
    .reduce<Policy | undefined>(
      (best, policy) => (best === undefined || policy.priority > best.priority ? policy : best),
      undefined,
    );
}

/** Ours that match a queue, whatever else was done to them. */
function ourPolicies(index: PolicyIndex, queue: string): Policy[] {
  return [...namingPolicies(index, queue), ...familyPolicies(index, queue)];
}

function familyPolicies({ byFamily }: PolicyIndex, queue: string): readonly Policy[] {
  const family = familyOf(queue);
  return family === undefined ? [] : (byFamily.get(family) ?? []);
}

/** Those among them that go before the family's. */
function namingPolicies({ byQueue, others }: PolicyIndex, queue: string): Policy[] {
  const changed = others.filter(
    ({ policy, matches }) => readPolicyName(policy.name) !== undefined && matches(queue),
  );
  return [...(byQueue.get(queue) ?? []), ...changed.map(({ policy }) => policy)];
}

function foreignPolicies({ others }: PolicyIndex, queue: string): Policy[] {
  return others
    .filter(({ policy, matches }) => readPolicyName(policy.name) === undefined && matches(queue))
    .map(({ policy }) => policy);
}

/** Of our policy at a queue, or of the one that it would get: what other people's must stay below. */
export function priorityAt(index: PolicyIndex, queue: string): number {
  const byFamily = namingPolicies(index, queue).length === 0 && familyPolicies(index, queue).length > 0;
  return byFamily ? FAMILY_PRIORITY : POLICY_PRIORITY;
}

/**
 * Whether a queue has its settings from exactly one policy of ours; with undefined, that none names it: a family's is not for
 * queues that have no settings.
 */
export function isMember(index: PolicyIndex, queue: string, settings: Settings | undefined): boolean {
  const naming = namingPolicies(index, queue);
  if (settings === undefined) return naming.length === 0;
  const [policy, ...more] = naming.length === 0 ? familyPolicies(index, queue) : naming;
  return (
    policy !== undefined &&
    more.length === 0 &&
    (naming.length === 0 || index.byQueue.has(queue)) &&
    isIntact(policy) &&
    isSameValue(policy.definition, settings)
  );
}
