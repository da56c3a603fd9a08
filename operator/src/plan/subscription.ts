/** What an apply, or a deletion, of one EventSubscription would do. Pure. */
import {
  foundDeliveries,
  layoutChange,
  describeHolding,
  delayingQueues,
  difference,
  exchangesOf,
  foreignQueues,
  messagesOf,
  migrationOf,
  missingPlugin,
  queueChanges,
  removal,
  temporaryObjects,
  wantedTopology,
} from '@warren/topology';
import type {
  BrokerCapabilities,
  Inventory,
  Membership,
  ObjectStep,
  QueueChange,
  WantedTopology,
} from '@warren/topology';
import {
  allows,
  describeNotAllowed,
  CLAIM_ANNOTATION,
  PAUSED_ANNOTATION,
  RELEASE_ANNOTATION,
  UNMANAGED_ANNOTATION,
} from '../resources.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import { isClaimed, isDeleting, namespaceOf, subscriptionOf } from '../subscriptions/claims.ts';
import { conflictsOf } from '../subscriptions/conflicts.ts';
import { isPaused, isUnmanaged, wasLetGo } from '../subscriptions/hands-off.ts';
import { bindingNameOf } from '../users/handout.ts';
import { wasInSyncWith } from '../subscriptions/status.ts';
import { fieldChanges, isSameJson } from './fields.ts';
import type { FieldChange } from './fields.ts';
import {
  autoscalerOf,
  bindingChange,
  objectChange,
  scalingChange,
  settingsChange,
  userChange,
} from './objects.ts';
import type { ObjectChange } from './objects.ts';

export interface MigrationPlan {
  queue: string;
  changes: QueueChange[];
  /** How many messages would be moved. Undefined where the broker does not tell. */
  messages?: number;
}

export interface SubscriptionPlan {
  namespace: string;
  name: string;
  broker: string;
  action: 'create' | 'change' | 'delete' | 'none';
  /** Of the resource itself. */
  fields: FieldChange[];
  /** In the operator's order. */
  objects: ObjectChange[];
  /** Queues that would be made anew under their name. */
  migrations: MigrationPlan[];
  /** Why it would not become Ready, in sentences: nothing would be touched. */
  conflicts: string[];
  /** What else is worth knowing, in sentences. */
  notes: string[];
}

/** The state of a virtual host, changed by what was planned before. */
export type BrokerView =
  | {
      state: 'read';
      resource: BrokerResource | undefined;
      capabilities: BrokerCapabilities;
      found: Inventory;
      /** Why the virtual host is not this operator's: a sentence. */
      taken?: string | undefined;
    }
  | { state: 'missing' };

export interface Outcome {
  plan: SubscriptionPlan;
  /** What would be done to the broker's objects and to queues' settings. */
  steps: ObjectStep[];
  memberships: Membership[];
}

interface SubscriptionInput {
  resource: SubscriptionResource;
  current?: SubscriptionResource | undefined;
  /** Worth knowing of how that was found out. */
  note?: string | undefined;
  /** There is a cluster, in which the operator scales consumers. */
  scales: boolean;
  broker: BrokerView;
}

export function planSubscription(input: SubscriptionInput): Outcome {
  const { resource, current, note, scales, broker } = input;
  const fields = [
    ...fieldChanges(annotationsOf(current), annotationsOf(resource), 'metadata.annotations'),
    ...fieldChanges(current?.spec, resource.spec, 'spec'),
  ];
  const base = planFor(resource, fields);
  const conclude = (part: Partial<SubscriptionPlan>, outcome: Partial<Outcome> = {}): Outcome => {
    const plan = { ...base, ...part };
    if (note !== undefined) plan.notes = [...plan.notes, note];
    const changes = fields.length + plan.objects.length + plan.migrations.length > 0;
    plan.action = current === undefined ? 'create' : changes ? 'change' : 'none';
    return { plan, steps: [], memberships: [], ...outcome };
  };
  const held = heldBack(resource, current);
  if (held !== undefined) return conclude({ notes: [held] });
  if (broker.state === 'missing')
    return conclude({ conflicts: [`there is no EventBroker named "${base.broker}"`] });
  if (broker.resource !== undefined && !allows(broker.resource, base.namespace))
    return conclude({
      conflicts: [describeNotAllowed(base.broker, base.namespace)],
    });
  const { capabilities, found, taken } = broker;
  if (taken !== undefined) return conclude({ conflicts: [taken] });
  const plugin = missingPlugin(resource.spec, capabilities);
  if (plugin !== undefined) return conclude({ conflicts: [plugin] });
  const wanted = wantedTopology(subscriptionOf(resource), capabilities);
  const notes = takeoverNotes(resource, found);
  if (current === undefined || !isClaimed(current)) {
    const applied = current?.status === undefined ? resource : { ...resource, status: current.status };
    const conflicts = conflictsOf(applied, wanted, found);
    if (conflicts.length > 0) return conclude({ conflicts });
    const taken = foreignQueues(wanted, found).join(', ');
    if (taken !== '')
      notes.push(
        wasLetGo(applied)
          ? `takes back ${taken}, its own until it was unmanaged`
          : `takes over ${taken}, which Warren did not make`,
      );
  }
  const isUnderWay = temporaryObjects(wanted.names, found).length > 0;
  const counted = migrationsTo(wanted, found);
  // What is under way has taken the messages elsewhere.
  const migrations = isUnderWay ? counted.map(({ messages: _, ...migration }) => migration) : counted;
  const { conflicts, blocked } = difference(wanted, found);
  if (conflicts.length > 0) return conclude({ conflicts });
  const { memberships, steps, overridden, later } = difference(wanted, remade(wanted, found));
  notes.push(...overridden, ...later);
  const migration = migrationOf(wanted, found, { capabilities, settled: () => false, drained: false });
  if (migrations.length > 0 && migration === undefined) return conclude({ conflicts: blocked, notes });
  if (migration !== undefined && (isUnderWay || migrations.length === 0))
    notes.push(`queue ${migration.queue} is being made anew now: phase ${migration.phase}`);
  for (const { name } of migrations.length > 0 ? delayingQueues(wanted.names, found) : [])
    notes.push(`queue ${name} holds retries that RabbitMQ delays: it is made anew when they are over`);
  const beside = [
    ...userChange(resource, current, broker.resource),
    ...bindingChange(resource, current, capabilities),
    ...(scales ? scalingChange(resource, current) : []),
  ];
  const objects = [
    ...memberships.map((membership) => settingsChange(membership, found)),
    ...steps.map(objectChange),
  ];
  if (objects.length + migrations.length > 0 && isDrift(resource, current, capabilities)) {
    if (resource.spec.driftPolicy === 'Report')
      return conclude({ notes: [...notes, 'differs on the broker and is left: driftPolicy is Report'] });
    notes.push('somebody changed this on the broker: the operator repairs it, with or without an apply');
  }
  return conclude({ objects: [...objects, ...beside], migrations, notes }, { steps, memberships });
}

/** Its deletion, as its deletionPolicy says. */
export function planDeletion({
  resource,
  scales,
  broker,
}: Pick<SubscriptionInput, 'resource' | 'scales' | 'broker'>): Outcome {
  const base: SubscriptionPlan = { ...planFor(resource, []), action: 'delete' };
  const nothing: Outcome = { plan: base, steps: [], memberships: [] };
  const { deletionPolicy } = resource.spec;
  if (!isClaimed(resource)) return nothing;
  const left = leftBehind(resource);
  if (left !== undefined) return { ...nothing, plan: { ...base, notes: [left] } };
  if (broker.state === 'missing')
    return { ...nothing, plan: { ...base, notes: ['its EventBroker is not there: its queues are left'] } };
  const { found, capabilities, taken } = broker;
  if (taken !== undefined) return { ...nothing, plan: { ...base, notes: [`its queues are left: ${taken}`] } };
  const { steps, memberships } = removal({
    namespace: base.namespace,
    name: base.name,
    deletionPolicy: 'Delete',
    found,
    exchanges: exchangesOf(capabilities),
    settled: true,
  });
  const holding = steps.flatMap((step) => {
    const messages = step.step === 'deleteQueue' ? found.queues.get(step.queue)?.messages : undefined;
    return step.step === 'deleteQueue' && messages !== undefined && messages > 0
      ? [describeHolding({ queue: step.queue, messages })]
      : [];
  });
  const held = holding.length === 0 ? '' : `: ${holding.join('; ')}`;
  if (deletionPolicy === 'Retain')
    return { ...nothing, plan: { ...base, notes: [`deletionPolicy is Retain: its queues are left${held}`] } };
  const notes =
    holding.length === 0
      ? []
      : deletionPolicy === 'Delete'
        ? [`deletionPolicy is Delete: messages are lost${held}`]
        : [`deletionPolicy is DeleteWhenEmpty: waits until no message is left${held}`];
  const beside: ObjectChange[] = [
    { action: 'delete', kind: 'Secret', name: bindingNameOf(resource) },
    ...(scales && resource.spec.scaling !== undefined
      ? [{ action: 'delete' as const, ...autoscalerOf(resource, resource) }]
      : []),
  ];
  return { plan: { ...base, objects: [...steps.map(objectChange), ...beside], notes }, steps, memberships };
}

function planFor(resource: SubscriptionResource, fields: FieldChange[]): SubscriptionPlan {
  return {
    namespace: namespaceOf(resource),
    name: resource.metadata.name,
    broker: resource.spec.brokerRef.name,
    action: 'none',
    fields,
    objects: [],
    migrations: [],
    conflicts: [],
    notes: [],
  };
}

/** Why the operator would not act on it. */
function heldBack(
  resource: SubscriptionResource,
  current: SubscriptionResource | undefined,
): string | undefined {
  if (current !== undefined && isDeleting(current))
    return 'is being deleted: an apply does not bring it back';
  if (isUnmanaged(resource))
    return `is annotated ${UNMANAGED_ANNOTATION}: the operator leaves the broker alone`;
  if (isPaused(resource))
    return `is annotated ${PAUSED_ANNOTATION}: the operator does nothing until it is not`;
  const to = releasedTo(resource, current);
  return to === undefined
    ? undefined
    : `is released to ${to}, which takes its messages over: nothing is made for it`;
}

/** Why the operator would delete nothing on the broker. */
function leftBehind(resource: SubscriptionResource): string | undefined {
  const to = releasedTo(resource, resource);
  if (isUnmanaged(resource)) return `is annotated ${UNMANAGED_ANNOTATION}: its queues are left`;
  if (isPaused(resource)) return `is annotated ${PAUSED_ANNOTATION}: its queues are left`;
  return to === undefined
    ? undefined
    : `is released to ${to}, which takes its messages over: nothing is deleted`;
}

/** The other one has begun. */
function releasedTo(
  { metadata }: SubscriptionResource,
  current: SubscriptionResource | undefined,
): string | undefined {
  const to = current?.status?.releasedTo;
  return metadata.annotations?.[RELEASE_ANNOTATION] === to ? to : undefined;
}

/** What comes along from another subscription. */
function takeoverNotes({ metadata, status }: SubscriptionResource, found: Inventory): string[] {
  const from = metadata.annotations?.[CLAIM_ANNOTATION];
  if (from === undefined || status?.claimedFrom === from) return [];
  const messages = messagesOf({ queue: from.replace('/', '.') }, found);
  const what =
    messages === undefined ? 'its messages' : `${messages} ${messages === 1 ? 'message' : 'messages'}`;
  return [
    `takes over from ${from}, with ${what}, as soon as that one is annotated ${RELEASE_ANNOTATION} too`,
  ];
}

/** Only Warren's own: others' say nothing to the operator, and are written by whoever applies. */
function annotationsOf(resource: SubscriptionResource | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(resource?.metadata.annotations ?? {}).filter(([name]) =>
      name.startsWith('warren.events/'),
    ),
  );
}

/** The spec is in force already, and the broker was as it says: what differs now, somebody else changed. */
function isDrift(
  resource: SubscriptionResource,
  current: SubscriptionResource | undefined,
  capabilities: BrokerCapabilities,
): boolean {
  return (
    current !== undefined && isSameJson(current.spec, resource.spec) && wasInSyncWith(current, capabilities)
  );
}

function migrationsTo(wanted: WantedTopology, found: Inventory): MigrationPlan[] {
  const { queues, names } = wanted;
  const change = layoutChange(wanted, found);
  if (change !== undefined) {
    const counts = foundDeliveries(names, found).map(({ messages }) => messages);
    const messages = counts.includes(undefined)
      ? {}
      : { messages: counts.reduce<number>((sum, count = 0) => sum + count, 0) };
    return [{ queue: names.queue, changes: [change], ...messages }];
  }
  return queues.flatMap((queue) => {
    const there = found.queues.get(queue.name);
    const changes = there === undefined ? [] : queueChanges(queue, there);
    if (there === undefined || changes.length === 0) return [];
    const { messages } = there;
    return [{ queue: queue.name, changes, ...(messages === undefined ? {} : { messages }) }];
  });
}

/** What is found, as if every queue that is there had been made anew already: what else would differ then. */
function remade(wanted: WantedTopology, found: Inventory): Inventory {
  const { queues, names } = wanted;
  const after = new Map(found.queues);
  const exchanges = new Map(found.exchanges);
  const partitions = new Map(found.partitions);
  if (layoutChange(wanted, found) !== undefined) {
    for (const { name } of foundDeliveries(names, found)) after.delete(name);
    exchanges.delete(names.keys);
    partitions.delete(names.queue);
  }
  for (const queue of queues) {
    const there = after.get(queue.name);
    if (there === undefined) continue;
    const type = queue.arguments['x-queue-type'];
    after.set(queue.name, { ...there, ...queue, type: typeof type === 'string' ? type : there.type });
  }
  const { bindings, exchangeBindings, waitQueues, policies, operatorPolicies, policyIndex } = found;
  return {
    ...{ exchanges, queues: after, bindings, exchangeBindings, waitQueues, partitions },
    ...{ policies, operatorPolicies, policyIndex },
  };
}
