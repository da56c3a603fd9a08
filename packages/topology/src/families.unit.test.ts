import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { difference, foreignQueues } from './difference.ts';
import { familyIn, familyOf, familyPattern, membersOf, subscriptionsIn } from './families.ts';
import { inventoryOf } from './inventory.ts';

import type { Found, Membership, Policy, Settings } from './objects.ts';
import { overriddenIn } from './overriding.ts';
import { familyPolicyOf, isMember, policyIndexOf, policyOf } from './policies.ts';
import { policyPlan } from './policy-plan.ts';
import type { PolicyStep } from './steps.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';
import { wantedTopology } from './wanted.ts';

const A: Settings = { 'delivery-limit': 25 };
const B: Settings = { 'delivery-limit': 30 };
const capabilities = { delayedRetry: true, deliveryLimitByDefault: true };

const many = (count: number, settings: Settings = A, namespace = 'shop'): Membership[] =>
  Array.from({ length: count }, (_, index) => ({ queue: `${namespace}.s${index}`, settings }));
const after = (policies: readonly Policy[], steps: readonly PolicyStep[]) =>
  applyAll({ ...emptyBroker, policies: [...policies] }, steps).policies;
const lacking = (memberships: readonly Membership[], policies: readonly Policy[]) => {
  const index = policyIndexOf(policies);
  return memberships.filter(({ queue, settings }) => !isMember(index, queue, settings));
};

describe('the pattern of a family', () => {
  test.each([
    ['shop.loyalty', 'shop.*'],
    ['shop.loyalty.dead', 'shop.*.dead'],
    ['shop.dead', 'shop.*'],
    ['shop.loyalty.retry', undefined],
    ['shop', undefined],
    ['Shop.loyalty', undefined],
    ['x|y.z', undefined],
  ])('%s is of %s', (queue, family) => expect(familyOf(queue)).toBe(family));

  test('matches the queues of the family and no others', () => {
    const queues = [
      'shop.a',
      'shop.a.dead',
      'shop.dead',
      'shop.a.retry',
      'shop',
      'shopx.a',
      'a.shop.b',
      'other.a',
    ];
    for (const family of ['shop.*', 'shop.*.dead']) {
      const pattern = new RegExp(familyPattern(family));
      expect(queues.filter((queue) => pattern.test(queue))).toEqual(
        queues.filter((queue) => familyOf(queue) === family),
      );
      expect(familyIn(familyPattern(family))).toBe(family);
    }
  });

  test.each(['^(shop\\.a|shop\\.b)$', '^shop\\.', '.*', '^shop\\.[^.]+'])('%s is of no family', (pattern) => {
    expect(familyIn(pattern)).toBeUndefined();
  });
});

describe('many queues of equal settings', () => {
  test('have one policy, however many they are, and a new one needs none', () => {
    const steps = policyPlan(many(1_000), []);
    expect(steps).toEqual([{ step: 'putPolicy', policy: familyPolicyOf(A, 0, 'shop.*') }]);
    expect(lacking(many(1_001), after([], steps))).toEqual([]);
  });

  test('that come one after the other are named until they are many', () => {
    let policies: Policy[] = [];
    for (let count = 1; count <= 100; count += 1)
      policies = after(policies, policyPlan(many(count), policies));
    expect(lacking(many(100), policies)).toEqual([]);
    expect(policies).toEqual([familyPolicyOf(A, 1, 'shop.*')]);
  });

  test('that are few in each of many namespaces are named', () => {
    const memberships = ['a', 'b', 'c', 'd', 'e'].flatMap((namespace) => many(20, A, namespace));
    const policies = after([], policyPlan(memberships, []));
    expect(policyIndexOf(policies).byFamily.size).toBe(0);
    expect(lacking(memberships, policies)).toEqual([]);
  });

  test('are named where the pattern would take in a queue of somebody else', () => {
    const policies = after(
      [],
      policyPlan(many(100), [], () => undefined),
    );
    expect(policyIndexOf(policies).byFamily.size).toBe(0);
    expect(lacking(many(100), policies)).toEqual([]);
  });

  test('are named when their settings may be meant for queues of another type', () => {
    const steps = policyPlan(many(100, { 'max-length': 10 }), []);
    expect(policyIndexOf(after([], steps)).byFamily.size).toBe(0);
  });

  test.each([{ 'max-length': 10 }, { 'message-ttl': 3_600_000 }])(
    "are named when they would drop messages of somebody else's queue: %j",
    (dropping) => {
      const memberships = many(100, { ...A, ...dropping });
      const policies = after([], policyPlan(memberships, []));
      expect(policyIndexOf(policies).byFamily.size).toBe(0);
      expect(lacking(memberships, policies)).toEqual([]);
      expect(policyPlan(memberships, policies)).toEqual([]);
    },
  );
});

describe('a queue of a family', () => {
  const family = [familyPolicyOf(A, 0, 'shop.*')];

  test('with other settings is named, and is not any more when it has those of the family again', () => {
    const edited = [{ queue: 'shop.s1', settings: B }];
    const named = after(family, policyPlan(edited, family));
    expect(lacking([...edited, { queue: 'shop.s2', settings: A }], named)).toEqual([]);
    expect(policyPlan(many(2), named)).toEqual([{ step: 'deletePolicy', policy: policyOf(B, 0, []).name }]);
  });

  test('needs no policy of its own, nor a write when it goes', () => {
    expect(policyPlan([{ queue: 'shop.new', settings: A }], family)).toEqual([]);
    expect(policyPlan([{ queue: 'shop.s1', settings: undefined }], family)).toEqual([]);
  });

  test('is told of a policy that wins over that of the family', () => {
    const theirs = {
      name: 'ha',
      pattern: '^shop',
      applyTo: 'queues',
      priority: 9,
      definition: { 'max-length': 7 },
    };
    const wanted = wantedTopology({ namespace: 'shop', name: 's1', spec: plainSpec }, capabilities);
    const said = (policies: Policy[]) =>
      overriddenIn(wanted, inventoryOf({ ...emptyBroker, policies })).filter((one) =>
        one.includes('applies to shop.s1 instead'),
      );
    expect(said([...family, theirs])).toEqual([
      'policy "ha" (priority 9) applies to shop.s1 instead of Warren\'s: give it a priority below 9 or a pattern that leaves shop.s1 out',
    ]);
    expect(said([...family, { ...theirs, priority: 8 }])).toEqual([]);
    expect(said([theirs])).toEqual([]);
  });
});

describe('a family whose queues come to want other settings', () => {
  const family = [familyPolicyOf(A, 0, 'shop.*')];
  const goal = [familyPolicyOf(B, 0, 'shop.*')];
  const there = (count: number) => () => many(count).map(({ queue }) => queue);
  const settingsAt = (queue: string, policies: readonly Policy[]) => {
    const ours = policies.filter(({ pattern }) => new RegExp(pattern).test(queue));
    const highest = Math.max(...ours.map(({ priority }) => priority));
    return ours.filter(({ priority }) => priority === highest).map(({ definition }) => definition);
  };
  /** Applies a plan step by step, and sees to it that every queue has what it had, or what it is to have. */
  const applied = (found: readonly Policy[], wanted: readonly Membership[], count: number) => {
    const steps = policyPlan(wanted, found, there(count));
    const to = new Map(wanted.map(({ queue, settings }) => [queue, settings]));
    for (let done = 0; done <= steps.length; done += 1) {
      const now = after(found, steps.slice(0, done));
      for (const { queue } of many(count)) {
        const before = settingsAt(queue, found);
        const allowed = to.has(queue) ? [...before, to.get(queue)] : before;
        const has = settingsAt(queue, now);
        if (has.length === 0 || has.some((each) => !allowed.includes(each)))
          expect({ queue, has }).toBe(allowed);
      }
    }
    const then = after(found, steps);
    expect(lacking(wanted, then)).toEqual([]);
    expect(policyPlan(wanted, then, there(count))).toEqual([]);
    return then;
  };
  const bursts = (wanted: readonly Membership[], size = 48) =>
    Array.from({ length: Math.ceil(wanted.length / size) }, (_, n) => wanted.slice(n * size, (n + 1) * size));

  test('has one policy again, when all of them change at once', () => {
    expect(policyPlan(many(1_000, B), family, there(1_000))).toEqual([
      { step: 'putPolicy', policy: goal[0] },
      { step: 'deletePolicy', policy: family[0]?.name },
    ]);
    expect(applied(family, many(1_000, B), 1_000)).toEqual(goal);
  });

  test('has one policy again, when they change in bursts', () => {
    let policies: Policy[] = family;
    for (const burst of bursts(many(200, B))) policies = applied(policies, burst, 200);
    expect(policies).toEqual([familyPolicyOf(B, 1, 'shop.*')]);
  });

  test('names those that keep the old settings, in question or not', () => {
    const keep = many(200).slice(150);
    const change = many(200, B).slice(0, 150);
    for (const asked of [change, [...change, ...keep]]) {
      const then = applied(family, asked, 200);
      expect(then).toContainEqual(goal[0]);
      expect(policyIndexOf(then).byFamily.get('shop.*')).toHaveLength(1);
      expect(lacking([...change, ...keep], then)).toEqual([]);
    }
  });

  test('keeps its policy while more than half as many use it', () => {
    const then = applied(family, many(60, B).slice(0, 40), 61);
    expect(policyIndexOf(then).byFamily.get('shop.*')).toEqual(family);
  });

  test('keeps its policy when somebody changed that, and nobody can tell what the others are to have', () => {
    const changed = [{ ...familyPolicyOf(A, 0, 'shop.*'), definition: { 'max-length': 1 } }];
    const then = after(changed, policyPlan(many(190, B), changed, there(200)));
    expect(policyIndexOf(then).byFamily.get('shop.*')).toEqual(changed);
  });

  test('goes on where it was cut off, wherever that was', () => {
    const [named, changing] = [many(80, B).slice(0, 40), many(80, B).slice(40)];
    const found = applied(family, named, 80);
    const steps = policyPlan(changing, found, there(80));
    expect(steps.length).toBeGreaterThan(2);
    for (let done = 0; done <= steps.length; done += 1) {
      const left = after(found, steps.slice(0, done));
      const then = after(left, policyPlan(lacking(many(80, B), left), left, there(80)));
      expect(lacking(many(80, B), then)).toEqual([]);
      expect(policyIndexOf(then).byFamily.get('shop.*')).toEqual([familyPolicyOf(B, 1, 'shop.*')]);
    }
  });
});

test('a family that is needed by nobody loses its policy', () => {
  const family = familyPolicyOf(A, 0, 'shop.*');
  expect(policyPlan([{ queue: 'shop.*', settings: undefined }], [family])).toEqual([
    { step: 'deletePolicy', policy: family.name },
  ]);
});

test('whatever policies were changed or lost by hand, a plan puts them right, and another finds nothing to do', () => {
  const settings = fc.constantFrom(A, B);
  const hand = fc.constantFrom({}, { priority: 3 }, { applyTo: 'all' }, { definition: { 'max-length': 1 } });
  const left = fc.array(fc.tuple(settings, fc.integer({ min: 0, max: 2 }), hand), { maxLength: 3 });
  const wanted = fc.array(settings, { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(left, wanted, (found, all) => {
      const policies = found.map(([of, shard, changed]) => ({
        ...familyPolicyOf(of, shard, 'shop.*'),
        ...changed,
      }));
      const unique = [...new Map(policies.map((policy) => [policy.name, policy])).values()];
      const memberships = all.map((of, index) => ({ queue: `shop.s${index}`, settings: of }));
      const there = () => memberships.map(({ queue }) => queue);
      const once = after(unique, policyPlan(memberships, unique, there));
      expect(lacking(memberships, once)).toEqual([]);
      expect(policyPlan(memberships, once, there)).toEqual([]);
    }),
  );
});

describe("somebody else's queue in a family", () => {
  const wanted = wantedTopology({ namespace: 'shop', name: 's1', spec: plainSpec }, capabilities);
  const nothing: Found = { exchanges: [], queues: [], bindings: [], policies: [] };
  const found = (queues: Found['queues']) =>
    inventoryOf({ ...nothing, queues, policies: [familyPolicyOf(A, 0, 'shop.*')] });
  const made = wanted.queues.map((queue) => ({ ...queue, type: 'quorum' }));
  const theirs = made.map((queue) => ({ ...queue, arguments: { 'x-queue-type': 'quorum' } }));

  test('is not taken for one of Warren, and Warren finds its own again', () => {
    expect(foreignQueues(wanted, found(theirs))).toHaveLength(2);
    expect(foreignQueues(wanted, found(made))).toEqual([]);
    expect(difference(wanted, found(made)).blocked).toEqual([]);
  });

  test('keeps the family from getting a policy', () => {
    for (const family of ['shop.*', 'shop.*.dead']) {
      expect(membersOf(family, found(made))).toBeDefined();
      expect(membersOf(family, found(theirs))).toBeUndefined();
    }
    expect(membersOf('other.*', found(theirs))).toBeDefined();
  });

  test.each([
    { queue: { type: 'stream', maxAge: '7d' } },
    { delivery: { ...plainSpec.delivery, ordering: 'PerKey' } },
  ] as const)('is not a dead-letter queue whose subscription has no queue of its own: %j', (changes) => {
    const spec = { ...plainSpec, ...changes };
    const { queues } = wantedTopology({ namespace: 'shop', name: 's2', spec }, capabilities);
    const there = queues.map((queue) => ({ ...queue, type: String(queue.arguments['x-queue-type']) }));
    expect(membersOf('shop.*.dead', found([...made, ...there]))).toEqual(['shop.s1.dead', 'shop.s2.dead']);
    const isDead = ({ name }: { name: string }) => name.endsWith('.dead');
    expect(membersOf('shop.*.dead', found([...made, ...there.filter(isDead)]))).toBeUndefined();
    expect(subscriptionsIn(found(there))).toEqual(new Set(['shop.s2']));
  });

  test('is one even where a policy of Warren names it: that was foreseen before it was there', () => {
    const policies = [policyOf(A, 0, ['shop.s1', 'shop.s1.dead'])];
    const named = inventoryOf({ ...nothing, queues: theirs, policies });
    expect(membersOf('shop.*', named)).toBeUndefined();
    expect(membersOf('shop.*.dead', named)).toBeUndefined();
  });

  test("is not a dead-letter queue that Warren's policies name, though the queue it belongs to is yet to be made", () => {
    const deadOnly = made.filter(({ name }) => name.endsWith('.dead'));
    expect(deadOnly).toHaveLength(1);
    expect(membersOf('shop.*.dead', found(deadOnly))).toBeUndefined();
    const policies = [policyOf(A, 0, new Set(['shop.s1.dead']))];
    expect(membersOf('shop.*.dead', inventoryOf({ ...nothing, queues: deadOnly, policies }))).toBeDefined();
  });
});
