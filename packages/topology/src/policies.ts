/**
 * Warren's policies: as few as there are distinct settings, each shared by the queues that have them (ADR 0009).
 *
 *   warren.<hash of the settings>.<shard>   ^(shop\.loyalty|shop\.payment)$   quorum_queues   priority 10
 *
 * Who belongs to a policy is read out of its pattern: nothing else remembers it. At most one policy applies to a queue, the
 * one of the highest priority; what other people set with a lower one is not merged in.
 */
import { createHash } from 'node:crypto';
import { canonical } from './canonical.ts';
import type { Policy, Settings } from './objects.ts';

export const POLICY_PRIORITY = 10;
const APPLY_TO = 'quorum_queues';

/** The hash in the names of the policies that carry these settings. */
export function settingsHash(settings: Settings): string {
  return createHash('sha256').update(canonical(settings)).digest('hex').slice(0, 10);
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
export function isIntact({ name, applyTo, priority, definition }: Policy): boolean {
  return (
    readPolicyName(name)?.hash === settingsHash(definition) &&
    applyTo === APPLY_TO &&
    priority === POLICY_PRIORITY
  );
}

/** The policies of a virtual host, by the queues they name; those that must be matched one by one are few. */
export interface PolicyIndex {
  /** Ours, by queue. */
  byQueue: ReadonlyMap<string, readonly Policy[]>;
  /** Other people's, and ours whose pattern was changed by hand. */
  others: readonly { policy: Policy; matches: (queue: string) => boolean }[];
}

export function policyIndexOf(policies: readonly Policy[]): PolicyIndex {
  const byQueue = new Map<string, Policy[]>();
  const others: { policy: Policy; matches: (queue: string) => boolean }[] = [];
  for (const policy of policies) {
    const queues = readPolicyName(policy.name) === undefined ? undefined : queuesIn(policy.pattern);
    if (queues === undefined) others.push({ policy, matches: matcherOf(policy.pattern) });
    else for (const queue of queues) byQueue.set(queue, [...(byQueue.get(queue) ?? []), policy]);
  }
  return { byQueue, others };
}

/** The broker's patterns are PCRE; one that only PCRE can read is taken to match nothing. */
export function matcherOf(pattern: string): (queue: string) => boolean {
  try {
    const expression = new RegExp(pattern);
    return (queue) => expression.test(queue);
  } catch {
    return () => false;
  }
}

/**
 * The policy that the broker applies to a quorum queue: of those that match, the one of the highest priority. Among equals
 * nobody can tell; ours is named first.
 */
export function effectivePolicy(
  policies: PolicyIndex | readonly Policy[],
  queue: string,
): Policy | undefined {
  const index = 'byQueue' in policies ? policies : policyIndexOf(policies);
  return [...ourPolicies(index, queue), ...foreignPolicies(index, queue)]
    .filter(({ applyTo }) => ['all', 'queues', APPLY_TO].includes(applyTo))
    .reduce<Policy | undefined>(
      (best, policy) => (best === undefined || policy.priority > best.priority ? policy : best),
      undefined,
    );
}

/** Ours that match a queue, whatever else was done to them. */
export function ourPolicies({ byQueue, others }: PolicyIndex, queue: string): Policy[] {
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

/** Somebody else's policy that wins, or may win, over ours at a queue. */
export function overridingPolicy(index: PolicyIndex, queue: string): Policy | undefined {
  return foreignPolicies(index, queue)
    .filter(
      ({ applyTo, priority }) => priority >= POLICY_PRIORITY && ['all', 'queues', APPLY_TO].includes(applyTo),
    )
    .sort((a, b) => b.priority - a.priority)[0];
}

/** Whether a queue has its settings from exactly one policy of ours; with undefined, from none. */
export function isMember(index: PolicyIndex, queue: string, settings: Settings | undefined): boolean {
  const [policy, ...more] = ourPolicies(index, queue);
  if (settings === undefined) return policy === undefined;
  return (
    policy !== undefined &&
    more.length === 0 &&
    index.byQueue.has(queue) &&
    isIntact(policy) &&
    canonical(policy.definition) === canonical(settings)
  );
}
