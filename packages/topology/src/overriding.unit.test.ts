import { expect, test } from '@jest/globals';
import { inventoryOf } from './inventory.ts';
import type { FoundQueue, Policy } from './objects.ts';
import { overriddenIn } from './overriding.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { wantedTopology } from './wanted.ts';

const subscription = { namespace: 'shop', name: 'loyalty', spec: plainSpec };
const modern = { delayedRetry: true, deliveryLimitByDefault: true };
const wanted = wantedTopology(subscription, modern);
const theirs = (policy: Partial<Policy>): Policy => ({
  name: 'theirs',
  pattern: '^shop',
  applyTo: 'queues',
  priority: 0,
  definition: {},
  ...policy,
});
const on = (
  { policies = [], operatorPolicies = [] }: { policies?: Policy[]; operatorPolicies?: Policy[] },
  queues: FoundQueue[] = [],
) => inventoryOf({ exchanges: [], queues, bindings: [], policies, operatorPolicies });

test.each<[string, Partial<Policy>, string[]]>([
  ['of a lower priority', {}, []],
  ['of our priority', { priority: 10 }, ['shop.loyalty.dead', 'shop.loyalty']],
  ['for the dead letters alone', { priority: 11, pattern: 'dead$' }, ['shop.loyalty.dead']],
  ['for queues of another type', { priority: 11, applyTo: 'streams' }, []],
  ['for exchanges', { priority: 11, applyTo: 'exchanges' }, []],
])('a user policy %s', (_it, policy, queues) => {
  const said = overriddenIn(wanted, on({ policies: [theirs(policy)] }));
  expect(said).toHaveLength(queues.length);
  for (const [index, queue] of queues.entries())
    expect(said[index]).toContain(
      `policy "theirs" (priority ${policy.priority}) applies to ${queue} instead`,
    );
});

test('of several user policies the one that applies is named', () => {
  const policies = [theirs({ priority: 11 }), theirs({ name: 'higher', priority: 12 })];
  expect(overriddenIn(wanted, on({ policies }))[0]).toContain('policy "higher" (priority 12)');
});

test('which policy applies to a queue that is there, the broker is believed', () => {
  const queue = { name: 'shop.loyalty', type: 'quorum', durable: true, autoDelete: false, arguments: {} };
  const policies = [theirs({ priority: 11 })];
  const ours = { ...queue, policy: 'warren.0123456789.0' };
  expect(overriddenIn(wanted, on({ policies }, [ours]))).toEqual([
    expect.stringContaining('applies to shop.loyalty.dead'),
  ]);
});

test.each([
  ['that only the broker can read', '^(?i)shop'],
  ['that takes too long', '^([a-z0-9-]+)+!$'],
])('a pattern %s is believed of it', (_it, pattern) => {
  const name = 'a'.repeat(55);
  const long = wantedTopology({ ...subscription, name }, modern);
  const policies = [theirs({ pattern, priority: 11 })];
  const queue = {
    name: `shop.${name}`,
    type: 'quorum',
    durable: true,
    autoDelete: false,
    arguments: {},
  };
  expect(overriddenIn(long, on({ policies, operatorPolicies: policies }, [queue]))).toEqual([]);
  expect(overriddenIn(long, on({ policies }, [{ ...queue, policy: 'theirs' }]))).toHaveLength(1);
});

test.each<[string, Record<string, unknown>, string | undefined]>([
  ['a lower limit', { 'delivery-limit': 3 }, "delivery-limit 3 for shop.loyalty instead of Warren's 25"],
  ['a higher limit', { 'delivery-limit': 300 }, undefined],
  ['a limit of its own', { 'max-length': 9 }, 'max-length 9 for shop.loyalty where Warren sets none'],
  [
    'another overflow than the argument says',
    { overflow: 'drop-head' },
    "overflow drop-head for shop.loyalty instead of Warren's reject-publish",
  ],
])('an operator policy with %s', (_it, definition, says) => {
  const operatorPolicies = [theirs({ pattern: '^shop\\.loyalty$', definition })];
  expect(overriddenIn(wanted, on({ operatorPolicies }))).toEqual(
    says === undefined ? [] : [`operator policy "theirs" sets ${says}`],
  );
});

test('an operator policy limits what has no limit of ours', () => {
  const operatorPolicies = [theirs({ pattern: 'dead$', definition: { 'delivery-limit': 3 } })];
  expect(overriddenIn(wanted, on({ operatorPolicies }))).toEqual([
    'operator policy "theirs" sets delivery-limit 3 for shop.loyalty.dead instead of Warren\'s -1',
  ]);
});

test('a wait queue is in no policy of ours: what would drop its messages is named, at any priority', () => {
  const ladder = wantedTopology(subscription, { delayedRetry: false, deliveryLimitByDefault: true });
  const policies = [theirs({ pattern: 'wait', definition: { 'max-length': 5 } })];
  const said = overriddenIn(ladder, on({ policies }));
  expect(said).toHaveLength(ladder.names.waitQueues.length);
  expect(said[0]).toContain('policy "theirs" sets max-length for shop.loyalty.wait.1000');
  const harmless = [theirs({ pattern: 'wait', definition: { 'queue-leader-locator': 'balanced' } })];
  expect(overriddenIn(ladder, on({ policies: harmless }))).toEqual([]);
});

test('a classic queue of which nothing is tuned is in no policy of ours either, and is named also for a time to live', () => {
  const spec = { ...plainSpec, queue: { type: 'classic' as const } };
  const classic = wantedTopology({ ...subscription, spec }, modern);
  const short = [
    theirs({ pattern: '^shop\\.loyalty(\\.wait\\.[0-9]+)?$', definition: { 'message-ttl': 1_000 } }),
  ];
  expect(classic.names.waitQueues).not.toEqual([]);
  expect(overriddenIn(classic, on({ policies: short }))).toEqual([
    'policy "theirs" sets message-ttl for shop.loyalty, where Warren sets none: ' +
      'give it a pattern that leaves shop.loyalty out',
  ]);
  const harmless = [theirs({ definition: { 'queue-leader-locator': 'balanced' } })];
  expect(overriddenIn(classic, on({ policies: harmless }))).toEqual([]);
});
