/**
 * Which policies to write so that some queues get their settings: pure, for many queues at once.
 *
 * A queue is added to its new policy before it is taken out of its old one, so that it never is without; in between one of
 * the two applies. A crash in between leaves it in both: the next plan takes it out of one. What the queues not in question
 * have stays as it is, unless somebody changed one of our policies by hand: then it is put right for all of its queues.
 */
import { canonical } from './canonical.ts';
import { familyOf } from './families.ts';
import { FamilyPolicies, firstFree } from './family-policies.ts';
import type { Group, MembersOf } from './family-policies.ts';
import type { Membership, Policy, Settings } from './objects.ts';
import { matcherOf } from './patterns.ts';
import {
  escaped,
  isIntact,
  patternOf,
  policyOf,
  queuesIn,
  readPolicyName,
  settingsHash,
} from './policies.ts';
import type { PolicyStep } from './steps.ts';

/** RabbitMQ refuses a longer pattern: "must not exceed 1024 bytes" (4.3). About 45 queues of a namespace and a name of usual length. */
const MAX_PATTERN_BYTES = 1_024;

interface Shard {
  hash: string;
  number: number;
  /** Undefined for one that is yet to be made. */
  found: Policy | undefined;
  before: ReadonlySet<string>;
  after: Set<string>;
  /** Undefined where no queue in question wants it, and the found policy says something else than its name promises. */
  settings: Settings | undefined;
  holds: (queue: string) => boolean;
  /** Somebody changed it, and a queue in question is concerned. */
  repair: boolean;
  /** At least the length of the pattern of `before` and `after` together, which it has between the halves of a plan. */
  bytes: number;
}

/**
 * @param memberships what some queues are to have; a queue that is named twice gets the last. A family (`shop.*`) without
 *   settings has no policy any more.
 */
export function policyPlan(
  memberships: readonly Membership[],
  policies: readonly Policy[],
  membersOf: MembersOf = () => [],
): PolicyStep[] {
  const families = new FamilyPolicies(policies, membersOf);
  const shards = policies.filter(({ name }) => !families.named.has(name)).flatMap(shardOf);
  const wanted = new Map(memberships.map(({ queue, settings }) => [queue, settings]));
  const homeless = new Map<string, Group>();
  for (const [queue, settings] of wanted) {
    const hash = settings === undefined ? undefined : settingsHash(settings);
    let home: Shard | undefined;
    for (const shard of shards.filter(({ holds }) => holds(queue))) {
      const named = shard.before.has(queue);
      if (named && hash === shard.hash && home === undefined) {
        home = shard;
        shard.settings = settings;
        shard.repair ||= shard.found !== undefined && !isIntact(shard.found);
      } else {
        shard.after.delete(queue);
        // Somebody changed its pattern, and nobody can tell whose it was: it is written anew, or goes.
        shard.repair ||= !named;
      }
    }
    if (settings === undefined || hash === undefined) {
      families.end(queue);
      continue;
    }
    if (home !== undefined || families.holds(queue, settings)) continue;
    const group = homeless.get(hash) ?? { settings, queues: [] };
    group.queues.push(queue);
    homeless.set(hash, group);
  }
  const isApart = (queue: string) =>
    wanted.has(queue) || shards.some(({ after, holds }) => after.has(queue) || holds(queue));
  for (const [hash, group] of homeless) {
    const same = shards.filter((shard) => shard.hash === hash);
    const named = same.flatMap(({ after }) => [...after]);
    const numbers = same.map(({ number }) => number);
    const { left, displaced, families: taken } = families.take(group, named, numbers, isApart);
    for (const { after } of same)
      for (const queue of after) if (taken.has(familyOf(queue) ?? '')) after.delete(queue);
    for (const { settings, queues } of [...displaced, { ...group, queues: left }])
      house(shards, settings, queues.sort(), families.numbers(settingsHash(settings)));
  }
  // A queue that is named has what it is named with, whatever becomes of its family: so the names come first, and go last.
  return [
    ...shards.flatMap(additions),
    ...families.additions,
    ...families.removals,
    ...shards.flatMap(removals),
  ];
}

function shardOf(policy: Policy): Shard[] {
  const name = readPolicyName(policy.name);
  if (name === undefined) return [];
  const queues = queuesIn(policy.pattern);
  return [
    {
      hash: name.hash,
      number: name.shard,
      found: policy,
      before: queues ?? new Set(),
      after: new Set(queues),
      settings: settingsHash(policy.definition) === name.hash ? policy.definition : undefined,
      holds: queues === undefined ? matcherOf(policy.pattern) : (queue) => queues.has(queue),
      repair: false,
      bytes: Buffer.byteLength(patternOf(queues ?? [])),
    },
  ];
}

function isRight(policy: Policy): boolean {
  return isIntact(policy) && queuesIn(policy.pattern) !== undefined;
}

/** Fills the fullest policies first, so that the emptiest ones may run dry; then opens new ones. */
function house(
  shards: Shard[],
  settings: Settings,
  queues: readonly string[],
  otherNumbers: readonly number[],
): void {
  const hash = settingsHash(settings);
  const same = shards.filter((shard) => shard.hash === hash);
  const open = same.filter(({ found, repair }) => repair || (found !== undefined && isRight(found)));
  open.sort((a, b) => b.after.size - a.after.size || a.number - b.number);
  const taken = new Set([...otherNumbers, ...same.map(({ number }) => number)]);
  for (const queue of queues) {
    const bytes = Buffer.byteLength(`|${escaped(queue)}`);
    let shard = open.find((one) => one.bytes + bytes <= MAX_PATTERN_BYTES);
    if (shard === undefined) {
      const number = firstFree(taken);
      taken.add(number);
      shard = newShard(hash, number);
      shards.push(shard);
      open.push(shard);
    }
    shard.settings = settings;
    shard.after.add(queue);
    shard.bytes += bytes;
  }
}

function newShard(hash: string, number: number): Shard {
  return {
    hash,
    number,
    found: undefined,
    before: new Set(),
    after: new Set(),
    settings: undefined,
    holds: () => false,
    repair: false,
    bytes: Buffer.byteLength(patternOf([])),
  };
}

function additions(shard: Shard): PolicyStep[] {
  const { before, after, found, settings, number, repair } = shard;
  const grows = [...after].some((queue) => !before.has(queue));
  if ((!grows && !(repair && after.size > 0)) || settings === undefined) return [];
  const policy = policyOf(settings, number, new Set([...before, ...after]));
  return found !== undefined && canonical(found) === canonical(policy) ? [] : [{ step: 'putPolicy', policy }];
}

function removals(shard: Shard): PolicyStep[] {
  const { before, after, found, settings, number, repair } = shard;
  if (found === undefined) return [];
  const shrinks = [...before].some((queue) => !after.has(queue));
  if (!shrinks && !repair) return [];
  if (after.size === 0) return [{ step: 'deletePolicy', policy: found.name }];
  if (!shrinks) return [];
  if (settings === undefined) {
    // Somebody changed its settings, and nobody who should have them is in question: only the pattern is ours to write.
    return [{ step: 'putPolicy', policy: { ...found, pattern: patternOf(after) } }];
  }
  return [{ step: 'putPolicy', policy: policyOf(settings, number, after) }];
}
