/**
 * The difference an apply would make, as data. Pure: what was read goes in, what would be done comes out, nothing is done.
 *
 *   manifests, as the API server would store them ┐
 *   what is in the cluster (or in force) now      ├─▶ planOf ─▶ Plan ─▶ text.ts, JSON
 *   one reading of each virtual host              ┘
 *
 * The subscriptions of a virtual host are planned one after the other on a copy of what was found, so that what they share
 * (an exchange, a policy) is named once.
 */
import { inventoryOf, membersOf, policyPlan } from '@warren/topology';
import type { BrokerCapabilities, Found, Membership } from '@warren/topology';
import { describeStep } from '@warren/topology';
import { LiveInventory } from '../brokers/live-inventory.ts';
import type { BrokerResource, PublisherResource, SubscriptionResource } from '../resources.ts';
import { fieldChanges } from './fields.ts';
import type { FieldChange } from './fields.ts';
import { planDeletion, planSubscription } from './subscription.ts';
import type { SubscriptionPlan } from './subscription.ts';

/** One resource of the manifests. */
export interface Planned<T> {
  /** As it would be stored: validated, with every default. */
  resource: T;
  /** As it is stored now. */
  current?: T | undefined;
  /** What is worth knowing of how that was found out, in a sentence. */
  note?: string;
}

/** What is known of a broker: read, or why not. */
export type BrokerReading =
  | {
      state: 'read';
      resource: BrokerResource | undefined;
      version: string;
      vhost: string;
      /** Where it was read, and by what that was known: `http://host:15672, by RABBITMQ_URL`. */
      source: string;
      capabilities: BrokerCapabilities;
      found: Found;
      /** Why the virtual host is not this operator's: a sentence. */
      taken?: string | undefined;
    }
  | { state: 'missing' };

export interface PlanInput {
  subscriptions: readonly Planned<SubscriptionResource>[];
  publishers: readonly Planned<PublisherResource>[];
  brokers: readonly Planned<BrokerResource>[];
  /** What is there now and in no manifest, where that means its deletion. */
  removed: readonly SubscriptionResource[];
  /** Of every EventBroker that one of them names. */
  readings: ReadonlyMap<string, BrokerReading>;
  /** There is a cluster, in which the operator scales consumers. */
  scales: boolean;
}

export interface BrokerPlan {
  name: string;
  action: 'create' | 'change' | 'none';
  fields: FieldChange[];
}

/** Its user and its Secret follow from it. */
export interface PublisherPlan extends BrokerPlan {
  namespace: string;
}

export interface VirtualHostPlan {
  /** The EventBroker's. */
  broker: string;
  version: string;
  vhost: string;
  /** Where it was read, and by what that was known. */
  source: string;
  /** What would be written to policies, which subscriptions share. */
  policies: string[];
}

export interface Plan {
  subscriptions: SubscriptionPlan[];
  publishers: PublisherPlan[];
  brokers: BrokerPlan[];
  virtualHosts: VirtualHostPlan[];
  summary: { create: number; change: number; delete: number; unchanged: number; conflicts: number };
}

export function planOf({ subscriptions, publishers, brokers, removed, readings, scales }: PlanInput): Plan {
  const hosts = new Map(
    [...readings].flatMap(([name, reading]) =>
      reading.state === 'read' ? [[name, new LiveInventory(reading.found)] as const] : [],
    ),
  );
  const memberships = new Map<string, Membership[]>();
  const plans: SubscriptionPlan[] = [];
  const add = (broker: string, outcome: ReturnType<typeof planSubscription>) => {
    plans.push(outcome.plan);
    memberships.set(broker, [...(memberships.get(broker) ?? []), ...outcome.memberships]);
    for (const step of outcome.steps) hosts.get(broker)?.apply(step);
  };
  const about = (broker: string) => {
    const reading = readings.get(broker) ?? { state: 'missing' };
    const found = hosts.get(broker);
    return reading.state === 'read' && found !== undefined
      ? { ...reading, found }
      : ({ state: 'missing' } as const);
  };
  for (const { resource, current, note } of subscriptions) {
    const broker = resource.spec.brokerRef.name;
    add(broker, planSubscription({ resource, current, note, scales, broker: about(broker) }));
  }
  for (const resource of removed) {
    const broker = resource.spec.brokerRef.name;
    add(broker, planDeletion({ resource, scales, broker: about(broker) }));
  }
  const brokerPlans = brokers.map(planFields);
  const publisherPlans = publishers.map((one) => ({
    namespace: one.resource.metadata.namespace ?? 'default',
    ...planFields(one),
  }));
  const virtualHosts = [...readings].flatMap(([broker, reading]): VirtualHostPlan[] => {
    if (reading.state !== 'read') return [];
    const { version, vhost, source, found } = reading;
    const inventory = inventoryOf(found);
    const policies = policyPlan(memberships.get(broker) ?? [], found.policies, (family) =>
      membersOf(family, inventory),
    ).map(describeStep);
    return [{ broker, version, vhost, source, policies }];
  });
  return {
    subscriptions: plans,
    publishers: publisherPlans,
    brokers: brokerPlans,
    virtualHosts,
    summary: summaryOf(plans, [...publisherPlans, ...brokerPlans]),
  };
}

/** Whether an apply would change anything, in Kubernetes or on a broker. */
export function changesAnything({ summary }: Plan): boolean {
  return summary.create + summary.change + summary.delete > 0;
}

function planFields({ resource, current }: Planned<BrokerResource | PublisherResource>): BrokerPlan {
  const { name } = resource.metadata;
  const fields = fieldChanges(current?.spec, resource.spec, 'spec');
  if (current === undefined) return { name, action: 'create', fields };
  return { name, action: fields.length > 0 ? 'change' : 'none', fields };
}

function summaryOf(plans: readonly SubscriptionPlan[], others: readonly BrokerPlan[]): Plan['summary'] {
  const actions = [...plans, ...others].map(({ action }) => action);
  const count = (wanted: string) => actions.filter((action) => action === wanted).length;
  return {
    create: count('create'),
    change: count('change'),
    delete: count('delete'),
    unchanged: count('none'),
    conflicts: plans.filter(({ conflicts }) => conflicts.length > 0).length,
  };
}
