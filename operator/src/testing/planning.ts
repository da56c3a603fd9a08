/** For tests of plans: subscriptions, and what the operator has made of them. */
import { capabilitiesOf, difference, namesOf, policyPlan, wantedTopology } from '@warren/topology';
import type { EventSubscriptionSpec, Found } from '@warren/topology';
import { plainSpec } from '@warren/topology/testing';
import { LiveInventory } from '../brokers/live-inventory.ts';
import { planOf } from '../plan/plan.ts';
import type { BrokerReading, PlanInput } from '../plan/plan.ts';
import { FINALIZER } from '../resources.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';

export const capabilities = capabilitiesOf('4.3.6');
export const nothing: Found = { exchanges: [], queues: [], bindings: [], policies: [] };

export function subscription(
  spec: Partial<EventSubscriptionSpec> = {},
  metadata: Partial<SubscriptionResource['metadata']> = {},
): SubscriptionResource {
  return { metadata: { name: 'loyalty', namespace: 'shop', ...metadata }, spec: { ...plainSpec, ...spec } };
}

/** As the operator leaves it: claimed, in sync, bound. */
export function inForce(resource: SubscriptionResource): SubscriptionResource {
  const condition = {
    type: 'TopologyInSync',
    status: 'True',
    reason: 'InSync',
    message: '',
    observedGeneration: 1,
    lastTransitionTime: '',
  } as const;
  return {
    ...resource,
    metadata: { ...resource.metadata, generation: 1, finalizers: [FINALIZER] },
    status: { conditions: [condition], retryMode: 'broker', binding: { name: 'loyalty-binding' } },
  };
}

/** What the operator makes of these subscriptions on an empty broker. */
export function brokerOf(...resources: SubscriptionResource[]): Found {
  const live = new LiveInventory(nothing);
  for (const { metadata, spec } of resources) {
    const wanted = wantedTopology({ namespace: 'shop', name: metadata.name, spec }, capabilities);
    const { memberships, steps } = difference(wanted, live);
    for (const step of [...policyPlan(memberships, live.policies), ...steps]) live.apply(step);
  }
  return {
    exchanges: [...live.exchanges.values()],
    queues: [...live.queues.values()].map((queue) => ({ ...queue, messages: 0 })),
    bindings: [...live.bindings.values()].flat(),
    policies: live.policies,
  };
}

export function holding(found: Found, queue: string, messages: number, ready?: number): Found {
  const counts = { messages, ...(ready === undefined ? {} : { ready, unacked: 0 }) };
  return { ...found, queues: found.queues.map((one) => (one.name === queue ? { ...one, ...counts } : one)) };
}

export function read(found: Found, resource?: BrokerResource): Extract<BrokerReading, { state: 'read' }> {
  return { state: 'read', resource, version: '4.3.6', vhost: '/', source: 'here', capabilities, found };
}

export function plan(found: Found, input: Partial<PlanInput>) {
  return planOf({
    subscriptions: [],
    brokers: [],
    publishers: [],
    removed: [],
    scales: true,
    readings: new Map([['default', read(found)]]),
    ...input,
  });
}

export const { queue } = namesOf('shop', 'loyalty');
