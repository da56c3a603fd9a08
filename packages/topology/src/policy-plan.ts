/**
 * Which policies to write so that some queues get their settings: pure, for many queues at once.
 *
 * A queue is added to its new policy before it is taken out of its old one, so that it never is without; in between one of
 * the two applies. A crash in between leaves it in both: the next plan takes it out of one. What the queues not in question
 * have stays as it is, unless somebody changed one of our policies by hand: then it is put right for all of its queues.
 */
import { canonical } from './canonical.ts';
import { FAMILY_SIZE, familyIn, familyOf, suitsFamily } from './families.ts';
import type { Membership, Policy, Settings } from './objects.ts';
import { matcherOf } from './patterns.ts';
import {
  escaped,
  familyPolicyOf,
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
 * @param mayBeFamily whether a policy for a whole family would concern Warren's queues only
 */
export function policyPlan(
  memberships: readonly Membership[],
  policies: readonly Policy[],
  mayBeFamily: (family: string) => boolean = () => true,
): PolicyStep[] {
  const families = new Families(policies, mayBeFamily);
  const shards = policies.filter(({ name }) => !families.named.has(name)).flatMap(shardOf);
  const wanted = new Map(memberships.map(({ queue, settings }) => [queue, settings]));
  const homeless = new Map<string, { settings: Settings; queues: string[] }>();
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
  for (const [hash, { settings, queues }] of homeless) {
    const same = shards.filter((shard) => shard.hash === hash);
    const left = families.take(settings, queues, same);
    house(shards, hash, settings, left.sort(), families.numbers(hash));
  }
  return [
    ...families.additions,
    ...shards.flatMap(additions),
    ...shards.flatMap(removals),
    ...families.removals,
  ];
}

/** The policies of whole families. */
class Families {
  readonly additions: PolicyStep[] = [];
  readonly removals: PolicyStep[] = [];
  readonly named = new Set<string>();
  readonly #byFamily = new Map<string, Policy[]>();
  readonly #mayBe: (family: string) => boolean;

  constructor(policies: readonly Policy[], mayBe: (family: string) => boolean) {
    this.#mayBe = mayBe;
    for (const policy of policies) {
      const family = readPolicyName(policy.name) === undefined ? undefined : familyIn(policy.pattern);
      if (family !== undefined) this.#add(family, policy);
    }
  }

  /** Whether the queue has its settings from its family. A policy that somebody changed is put right. */
  holds(queue: string, settings: Settings): boolean {
    const [policy, ...more] = this.#byFamily.get(familyOf(queue) ?? '') ?? [];
    if (policy === undefined || more.length > 0) return false;
    const name = readPolicyName(policy.name);
    if (name?.hash !== settingsHash(settings)) return false;
    const right = familyPolicyOf(settings, name.shard, familyIn(policy.pattern) ?? '');
    const isPut = this.additions.some((step) => step.step === 'putPolicy' && step.policy.name === right.name);
    if (!isPut && canonical(policy) !== canonical(right))
      this.additions.push({ step: 'putPolicy', policy: right });
    return true;
  }

  /** Makes families for the queues that are many enough; gives back the others. */
  take(settings: Settings, queues: readonly string[], same: readonly Shard[]): string[] {
    const sizes = new Map<string, number>();
    for (const queue of [...queues, ...same.flatMap(({ after }) => [...after])]) {
      const family = familyOf(queue);
      if (family !== undefined) sizes.set(family, (sizes.get(family) ?? 0) + 1);
    }
    return queues.filter((queue) => {
      const family = familyOf(queue);
      if (family === undefined || this.holds(queue, settings)) return family === undefined;
      const isFree = !this.#byFamily.has(family) && suitsFamily(family, settings);
      if (!isFree || (sizes.get(family) ?? 0) < FAMILY_SIZE || !this.#mayBe(family)) return true;
      const hash = settingsHash(settings);
      const taken = new Set([...this.numbers(hash), ...same.map(({ number }) => number)]);
      const policy = familyPolicyOf(settings, firstFree(taken), family);
      this.#add(family, policy);
      this.additions.push({ step: 'putPolicy', policy });
      return false;
    });
  }

  numbers(hash: string): number[] {
    return [...this.#byFamily.values()].flat().flatMap(({ name }) => {
      const read = readPolicyName(name);
      return read?.hash === hash ? [read.shard] : [];
    });
  }

  end(family: string): void {
    for (const { name } of this.#byFamily.get(family) ?? [])
      this.removals.push({ step: 'deletePolicy', policy: name });
  }

  #add(family: string, policy: Policy): void {
    this.named.add(policy.name);
    this.#byFamily.set(family, [...(this.#byFamily.get(family) ?? []), policy]);
  }
}

function firstFree(taken: ReadonlySet<number>): number {
  let number = 0;
  while (taken.has(number)) number += 1;
  return number;
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
  hash: string,
  settings: Settings,
  queues: string[],
  otherNumbers: readonly number[],
): void {
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
