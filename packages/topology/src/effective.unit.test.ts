import { expect, test } from '@jest/globals';
import { effectiveArguments } from './effective.ts';
import type { FoundQueue, Policy } from './objects.ts';
import { policyIndexOf, policyOf } from './policies.ts';

const queue: FoundQueue = {
  name: 'shop.loyalty',
  type: 'quorum',
  durable: true,
  autoDelete: false,
  arguments: { 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' },
};
const ours = policyOf({ 'delivery-limit': 25 }, 0, ['shop.loyalty']);
const of = (found: FoundQueue, ...policies: Policy[]) =>
  effectiveArguments(found, { policyIndex: policyIndexOf(policies) });

test('are those of the queue, and of the policy that applies to it', () => {
  expect(of(queue)).toEqual({ overflow: 'reject-publish', 'queue-type': 'quorum' });
  expect(of(queue, ours)).toEqual({
    'delivery-limit': '25',
    overflow: 'reject-publish',
    'queue-type': 'quorum',
  });
});

test('are of the policy that wins, and an argument wins over every policy', () => {
  const theirs = {
    name: 'theirs',
    pattern: '.*',
    applyTo: 'queues',
    priority: 99,
    definition: { overflow: 'drop-head', 'max-length': 7 },
  };
  expect(of(queue, ours, theirs)).toMatchObject({ 'max-length': '7', overflow: 'reject-publish' });
  expect(of(queue, ours, theirs)).not.toHaveProperty('delivery-limit');
  expect(of(queue, ours, { ...theirs, applyTo: 'classic_queues' })).toHaveProperty('delivery-limit', '25');
});

test('are as the broker says, as long as it speaks of the policy in force', () => {
  const effective = { 'delivery-limit': 25, 'max-length': 100 };
  expect(of({ ...queue, policy: ours.name, effective }, ours)).toHaveProperty('max-length', '100');
  expect(of({ ...queue, policy: 'before', effective }, ours)).not.toHaveProperty('max-length');
});
