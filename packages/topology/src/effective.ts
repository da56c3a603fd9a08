/** What is in force at a queue: its arguments, and the policy that the broker applies. */
import type { FoundQueue, Settings } from './objects.ts';
import type { Inventory } from './inventory.ts';
import { effectivePolicy } from './policies.ts';
import type { QueueType } from './spec.ts';

/**
 * By their names as policies have them (`message-ttl`, `queue-type`), each as text. An argument goes before a policy. What the
 * broker itself says of a policy is taken (an operator policy is in it) as long as it speaks of the one that is in force.
 */
export function effectiveArguments(
  queue: FoundQueue,
  { policyIndex }: Pick<Inventory, 'policyIndex'>,
): Record<string, string> {
  const policy = effectivePolicy(policyIndex, queue.name, queue.type as QueueType);
  const told = queue.policy === policy?.name ? queue.effective : undefined;
  const settings: Settings = {
    ...(told ?? policy?.definition),
    ...Object.fromEntries(
      Object.entries(queue.arguments).map(([name, value]) => [name.replace(/^x-/, ''), value]),
    ),
  };
  return Object.fromEntries(
    Object.entries(settings)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}
