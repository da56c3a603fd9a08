/**
 * Which policies of whole families to write: the part of a plan (policy-plan.ts) that names no queues.
 *
 * A family's policy is that of the greater part: where so many queues want other settings that those who still have theirs from
 * it are at most half as many, it goes to them, and what is left is named. So a thousand queues that all change come back to one
 * policy, be it at once or in bursts, and two halves do not take it from each other in turns.
 */
import { canonical } from './canonical.ts';
import { FAMILY_SIZE, familyIn, familyOf, suitsFamily } from './families.ts';
import type { Policy, Settings } from './objects.ts';
import { familyPolicyOf, readPolicyName, settingsHash } from './policies.ts';
import type { PolicyStep } from './steps.ts';

/** The quorum queues of a family that are there; undefined where one of them is somebody else's. */
export type MembersOf = (family: string) => readonly string[] | undefined;

/** Queues that want the same. */
export interface Group {
  settings: Settings;
  queues: string[];
}

export interface Taken {
  /** Who has to be named. */
  left: string[];
  /** Those whose family now has other settings, and who are to keep theirs. */
  displaced: Group[];
  /** The families that have these settings from now on. */
  families: ReadonlySet<string>;
}

export class FamilyPolicies {
  readonly additions: PolicyStep[] = [];
  readonly removals: PolicyStep[] = [];
  readonly named = new Set<string>();
  readonly #byFamily = new Map<string, Policy[]>();
  readonly #membersOf: MembersOf;
  /** Who is in question and has its settings from its family. */
  readonly #content = new Set<string>();
  readonly #taken = new Set<string>();

  constructor(policies: readonly Policy[], membersOf: MembersOf) {
    this.#membersOf = membersOf;
    for (const policy of policies) {
      const family = readPolicyName(policy.name) === undefined ? undefined : familyIn(policy.pattern);
      if (family === undefined) continue;
      this.named.add(policy.name);
      this.#byFamily.set(family, [...(this.#byFamily.get(family) ?? []), policy]);
    }
  }

  /** Whether the queue has its settings from its family. A policy that somebody changed is put right. */
  holds(queue: string, settings: Settings): boolean {
    const [policy, ...more] = this.#byFamily.get(familyOf(queue) ?? '') ?? [];
    if (policy === undefined || more.length > 0) return false;
    const name = readPolicyName(policy.name);
    if (name?.hash !== settingsHash(settings)) return false;
    this.#put(familyPolicyOf(settings, name.shard, familyIn(policy.pattern) ?? ''), policy);
    this.#content.add(queue);
    return true;
  }

  /**
   * Gives families to queues that are many enough.
   *
   * @param named who is named with these settings already
   * @param isApart whether a queue has its settings from elsewhere than its family, or is in question itself
   */
  take(
    { settings, queues }: Group,
    named: readonly string[],
    numbers: readonly number[],
    isApart: (queue: string) => boolean,
  ): Taken {
    const sizes = sizesOf([...queues, ...named]);
    const families = new Set<string>();
    const displaced: Group[] = [];
    for (const family of sizesOf(queues).keys()) {
      const size = sizes.get(family) ?? 0;
      if (this.#taken.has(family) || size < FAMILY_SIZE || !suitsFamily(family, settings)) continue;
      const members = this.#membersOf(family);
      if (members === undefined) continue;
      const users = this.#usersOf(family, members, isApart);
      if (users === undefined || users.queues.length * 2 > size) continue;
      if (users.queues.length > 0) displaced.push(users);
      families.add(family);
      this.#give(family, settings, numbers);
    }
    return { left: queues.filter((queue) => !families.has(familyOf(queue) ?? '')), displaced, families };
  }

  numbers(hash: string): number[] {
    return [...this.named].flatMap((name) => {
      const read = readPolicyName(name);
      return read?.hash === hash ? [read.shard] : [];
    });
  }

  end(family: string): void {
    for (const { name } of this.#byFamily.get(family) ?? [])
      this.removals.push({ step: 'deletePolicy', policy: name });
  }

  /** Who has its settings from the family's policy, and which; undefined where nobody can tell which. */
  #usersOf(
    family: string,
    members: readonly string[],
    isApart: (queue: string) => boolean,
  ): Group | undefined {
    const [policy, ...more] = this.#byFamily.get(family) ?? [];
    // Of two that a crash or a hand has left, either may apply: whoever wants one of them is in question, or will be.
    if (policy === undefined || more.length > 0) return { settings: {}, queues: [] };
    const others = members.filter((queue) => !isApart(queue));
    const content = [...this.#content].filter((queue) => familyOf(queue) === family);
    const { name, definition: settings } = policy;
    const queues = [...new Set([...others, ...content])].sort();
    const isKnown = readPolicyName(name)?.hash === settingsHash(settings);
    return isKnown || queues.length === 0 ? { settings, queues } : undefined;
  }

  #give(family: string, settings: Settings, numbers: readonly number[]): void {
    const before = this.#byFamily.get(family) ?? [];
    const hash = settingsHash(settings);
    const kept = before.find(({ name }) => readPolicyName(name)?.hash === hash);
    const number = readPolicyName(kept?.name ?? '')?.shard ?? firstFree([...this.numbers(hash), ...numbers]);
    const policy = familyPolicyOf(settings, number, family);
    this.#put(policy, kept);
    for (const { name } of before)
      if (name !== policy.name) this.removals.push({ step: 'deletePolicy', policy: name });
    this.named.add(policy.name);
    this.#byFamily.set(family, [policy]);
    this.#taken.add(family);
  }

  #put(policy: Policy, found: Policy | undefined): void {
    const isPut = this.additions.some(
      (step) => step.step === 'putPolicy' && step.policy.name === policy.name,
    );
    if (!isPut && (found === undefined || canonical(found) !== canonical(policy)))
      this.additions.push({ step: 'putPolicy', policy });
  }
}

export function firstFree(taken: Iterable<number>): number {
  const numbers = new Set(taken);
  let number = 0;
  while (numbers.has(number)) number += 1;
  return number;
}

function sizesOf(queues: readonly string[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const queue of queues) {
    const family = familyOf(queue);
    if (family !== undefined) sizes.set(family, (sizes.get(family) ?? 0) + 1);
  }
  return sizes;
}
