import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonical } from './canonical.ts';
import type { Membership, Policy, Settings } from './objects.ts';
import { effectivePolicy, isMember, policyIndexOf, policyOf, queuesIn, readPolicyName } from './policies.ts';
import { policyPlan } from './policy-plan.ts';
import type { PolicyStep } from './steps.ts';
import { foreignPolicy, policies as anyPolicies } from './testing/arbitraries.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';

const A: Settings = { 'delivery-limit': 25 };
const B: Settings = { 'delivery-limit': 30 };

const after = (policies: readonly Policy[], steps: readonly PolicyStep[]) =>
  applyAll({ ...emptyBroker, policies: [...policies] }, steps).policies;
const settingsAt = (policies: readonly Policy[], queue: string) =>
  canonical(effectivePolicy(policies, queue)?.definition ?? null);
const want = (settings: Settings | undefined, ...queues: string[]): Membership[] =>
  queues.map((queue) => ({ queue, settings }));

describe('queues of equal settings share a policy', () => {
  test('one is made for all of them', () => {
    const steps = policyPlan(want(A, 'shop.b', 'shop.a'), []);
    expect(steps).toEqual([{ step: 'putPolicy', policy: policyOf(A, 0, ['shop.a', 'shop.b']) }]);
    expect(after([], steps)[0]?.pattern).toBe('^(shop\\.a|shop\\.b)$');
  });

  test('a new one joins those that are there', () => {
    const found = [policyOf(A, 0, ['shop.a'])];
    expect(policyPlan(want(A, 'shop.b'), found)).toEqual([
      { step: 'putPolicy', policy: policyOf(A, 0, ['shop.a', 'shop.b']) },
    ]);
  });

  test('nothing is written where nothing differs', () => {
    expect(policyPlan(want(A, 'shop.a'), [policyOf(A, 0, ['shop.a', 'shop.b'])])).toEqual([]);
    expect(policyPlan(want(undefined, 'shop.c'), [policyOf(A, 0, ['shop.a'])])).toEqual([]);
  });

  test('a full policy is followed by a second one, and the fullest with room is filled first', () => {
    const many = Array.from({ length: 200 }, (_, index) => `a-queue-of-no-family-${index}`);
    const found = after([], policyPlan(want(A, ...many), []));
    expect(found.length).toBeLessThan(6);
    for (const { pattern } of found) expect(pattern.length).toBeLessThanOrEqual(1_024);
    expect(found.flatMap(({ pattern }) => [...queuesIn(pattern)!]).sort()).toEqual(many.sort());
    const left = [policyOf(A, 0, ['a']), policyOf(A, 1, ['b', 'c'])];
    expect(policyPlan(want(A, 'd'), left)).toEqual([
      { step: 'putPolicy', policy: policyOf(A, 1, ['b', 'c', 'd']) },
    ]);
  });
});

describe('a queue that changes its settings', () => {
  test('joins its new policy before it leaves the old one, which goes with its last queue', () => {
    const found = [policyOf(A, 0, ['shop.a'])];
    expect(policyPlan(want(B, 'shop.a'), found)).toEqual([
      { step: 'putPolicy', policy: policyOf(B, 0, ['shop.a']) },
      { step: 'deletePolicy', policy: policyOf(A, 0, []).name },
    ]);
  });

  test('that a crash left in both policies leaves the wrong one', () => {
    const found = [policyOf(A, 0, ['shop.a', 'shop.b']), policyOf(B, 0, ['shop.a'])];
    expect(policyPlan(want(B, 'shop.a'), found)).toEqual([
      { step: 'putPolicy', policy: policyOf(A, 0, ['shop.b']) },
    ]);
  });
});

describe('a policy that was changed by hand', () => {
  test.each([
    ['settings', { definition: { 'max-length': 1 } }],
    ['priority', { priority: 0 }],
    ['kind of object', { applyTo: 'all' }],
  ])('gets its %s back, for all of its queues', (_what, change) => {
    const right = policyOf(A, 0, ['shop.a', 'shop.b']);
    expect(policyPlan(want(A, 'shop.a'), [{ ...right, ...change }])).toEqual([
      { step: 'putPolicy', policy: right },
    ]);
  });

  test('gets its pattern back', () => {
    const right = policyOf(A, 0, ['shop.a']);
    expect(policyPlan(want(A, 'shop.a'), [{ ...right, pattern: '.*' }])).toEqual([
      { step: 'putPolicy', policy: right },
    ]);
  });

  test('is not overfilled when its pattern took in everything', () => {
    const many = Array.from({ length: 100 }, (_, index) => `shop.queue-${index}`);
    const then = after([], policyPlan(want(A, ...many), [{ ...policyOf(A, 0, ['shop.a']), pattern: '.*' }]));
    for (const { pattern } of then) expect(pattern.length).toBeLessThanOrEqual(1_024);
    for (const queue of many) expect(isMember(policyIndexOf(then), queue, A)).toBe(true);
  });

  test('stays as it is while none of its queues is in question', () => {
    expect(policyPlan(want(B, 'shop.b'), [{ ...policyOf(A, 0, ['shop.a']), priority: 0 }])).toEqual([
      { step: 'putPolicy', policy: policyOf(B, 0, ['shop.b']) },
    ]);
  });
});

describe('whatever is found', () => {
  const queue = fc.constantFrom('shop.loyalty', 'shop.loyalty.dead', 'shop.dead', 'a.b', 'a+b', 'x|y', 'new');
  const memberships = fc.uniqueArray(
    fc.record({
      queue,
      settings: fc.constantFrom<Settings | undefined>(A, B, { 'message-ttl': 1 }, undefined),
    }),
    { selector: (one) => one.queue, minLength: 1 },
  );

  test('a plan gives every queue in question its settings, a second plan has nothing to do', () => {
    fc.assert(
      fc.property(memberships, anyPolicies, (wanted, found) => {
        const then = after(found, policyPlan(wanted, found));
        const index = policyIndexOf(then);
        for (const { queue: each, settings } of wanted) expect(isMember(index, each, settings)).toBe(true);
        expect(policyPlan(wanted, then)).toEqual([]);
      }),
    );
  });

  test('a policy of other people is never written', () => {
    fc.assert(
      fc.property(memberships, anyPolicies, fc.array(foreignPolicy), (wanted, found, others) => {
        for (const step of policyPlan(wanted, [...found, ...others])) {
          const name = step.step === 'putPolicy' ? step.policy.name : step.policy;
          expect(readPolicyName(name)).toBeDefined();
        }
      }),
    );
  });

  /** As Warren leaves them, when it is not killed. */
  const intact = fc
    .uniqueArray(fc.record({ queue, settings: fc.constantFrom(A, B) }), { selector: (one) => one.queue })
    .map((before) => after([], policyPlan(before, [])));

  test('at every step each queue in question has its old or its new settings, and the others what they had', () => {
    fc.assert(
      fc.property(memberships, intact, (wanted, found) => {
        const steps = policyPlan(wanted, found);
        const goal = new Map<string, string>(
          wanted.map((one) => [one.queue, canonical(one.settings ?? null)]),
        );
        for (let done = 0; done <= steps.length; done += 1) {
          const now = after(found, steps.slice(0, done));
          for (const each of ['shop.loyalty', 'shop.dead', 'a.b', 'a+b', 'x|y', 'new', 'axb', 'shopxdead']) {
            const before = settingsAt(found, each);
            expect([before, goal.get(each) ?? before]).toContain(settingsAt(now, each));
          }
        }
      }),
    );
  });

  test('a pattern names its queues and matches nothing else', () => {
    const anyName = fc.string({ minLength: 1 }).filter((name) => !name.includes('\n'));
    fc.assert(
      fc.property(fc.uniqueArray(anyName, { minLength: 1 }), anyName, (queues, other) => {
        const { pattern } = policyOf(A, 0, queues);
        expect(queuesIn(pattern)).toEqual(new Set(queues));
        expect(new RegExp(pattern).test(other)).toBe(queues.includes(other));
      }),
    );
  });
});

describe('which policy applies', () => {
  const ours = policyOf(A, 0, ['shop.a']);
  const theirs = {
    name: 'all',
    pattern: '^shop',
    applyTo: 'queues',
    priority: 0,
    definition: { 'max-length': 1 },
  };

  test('is the one of the highest priority', () => {
    expect(effectivePolicy([theirs, ours], 'shop.a')).toBe(ours);
    const higher = { ...theirs, priority: 11 };
    expect(effectivePolicy([higher, ours], 'shop.a')).toBe(higher);
    expect(effectivePolicy([ours], 'shop.b')).toBeUndefined();
  });

  test('is not one for other objects, or one that only PCRE can read', () => {
    for (const change of [
      { applyTo: 'classic_queues' },
      { applyTo: 'exchanges' },
      { pattern: '(?i)shop(*FAIL)' },
    ])
      expect(effectivePolicy([{ ...theirs, priority: 99, ...change }, ours], 'shop.a')).toBe(ours);
  });
});
