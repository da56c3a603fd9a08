/**
 * EventSubscription → the broker objects it wants; what is found → the steps between them. Pure: no I/O.
 *
 * How an operator uses it, with one bulk read for many subscriptions:
 *
 *   const capabilities = capabilitiesOf(overview.version);
 *   const found = inventoryOf(await client.inventory());               // an index, made once a read
 *   for each subscription:
 *     const wanted = wantedTopology({ namespace, name, spec }, capabilities);
 *     const { conflicts, blocked, memberships, steps } = difference(wanted, found);
 *   const policySteps = policyPlan(all memberships of all that may be repaired, found.policies);
 *   apply policySteps one after the other, then each subscription's steps in their order.
 *
 *   conflicts, blocked   sentences; when there is one, nothing is to be touched: `steps` and `memberships` are empty
 *   overridden           sentences about policies of other people that win over ours; nothing can be done about them here
 *   later                sentences about what solves itself, such as a wait queue that still holds messages
 *   nothing differs      steps and memberships are empty
 *
 * A deletion is decided anew after each reading: see removal.ts.
 * A consumer's settings and the entries of its binding: see consumer.ts.
 */
export * from './bindings.ts';
export * from './canonical.ts';
export * from './capabilities.ts';
export * from './consumer.ts';
export * from './difference.ts';
export * from './duration.ts';
export * from './effective.ts';
export * from './inventory.ts';
export * from './layout.ts';
export { besideConflicts, waitsFor } from './marks.ts';
export * from './migration.ts';
export * from './names.ts';
export * from './objects.ts';
export { familyOf, membersOf, namespaceOfFamily, subscriptionsIn } from './families.ts';
export * from './overriding.ts';
export * from './partitions.ts';
export * from './policies.ts';
export * from './policy-plan.ts';
export * from './queue-types.ts';
export * from './removal.ts';
export * from './retry.ts';
export * from './spec.ts';
export * from './steps.ts';
export * from './takeover-ends.ts';
export * from './takeover.ts';
export * from './temporary.ts';
export * from './wanted.ts';
