/**
 * The migration of what RabbitMQ cannot change in place: a queue's type or an argument, and how a subscription's messages lie
 * (one queue, or so many partitions). Pure, and decided anew from what is found after each reading, so that it goes on from
 * wherever it was cut off, also when the spec was edited back meanwhile.
 *
 * The queues are emptied, deleted and made anew, under the same names. Temporary objects make that safe (ADR 0013, 0015):
 *
 *   <queue>.points     exchange that takes over the bindings; what it cannot route goes to the next one
 *   <queue>.aside      exchange, the alternate of the points
 *   <queue>.arriving   queue behind it: what is published while the queues are being made anew
 *   <queue>.waited     queue for what waited in the old ones: ahead of what arrives
 *   <queue>.returning  exchange, a sign: what waited is on its way back, and nothing goes out before that is over
 *
 *   Preparing   events ─▶ points ─▶ entrance, beside the old bindings, which then go: RabbitMQ puts a message into a queue once
 *   Waiting     as long as the broker delays a retry in there for long, the points let everything through to the old entrance
 *   Draining    points ─╳ entrance: that one unbinding sends everything new to `arriving`. Queues, and the wait queues that give
 *               back to them ─▶ waited, until all are empty
 *   Recreating  the queues are deleted and declared as wanted; the sign is set up
 *   Returning   waited ─▶ entrance, then arriving ─▶ entrance; points ─▶ entrance: that one binding brings everything new back
 *   Finishing   the entrance's own bindings, then the points go; the rest of arriving ─▶ entrance; the temporary queues go
 *
 * The entrance is the queue, or the exchange that leads to the partitions. At every moment a message is routed to exactly one
 * of the queues. Where an order is kept before and after, consumers pause while messages go out: they would overtake them.
 */
import { changesBetween, queueChanges } from './difference.ts';
import type { QueueChange } from './difference.ts';
import type { Inventory } from './inventory.ts';
import { deliveriesOf, entranceOf, foundDeliveries, layoutChange } from './layout.ts';
import { hasKeys } from './marks.ts';
import { MigrationSite } from './migration-site.ts';
import type { SitePlan } from './migration-site.ts';
import { declaration, emptying } from './migration-steps.ts';
import type { Migration, MigrationOptions } from './migration-steps.ts';
import type { FoundQueue, Queue, WantedTopology } from './objects.ts';
import { partitionNamesOf } from './partitions.ts';
import { streamQueuesOf } from './queue-types.ts';

export type {
  Consumers,
  Migration,
  MigrationOptions,
  MigrationPhase,
  MigrationStep,
  MoveStep,
} from './migration-steps.ts';

/** Undefined where there is nothing to migrate, or what differs cannot be migrated: `difference` tells of that. */
export function migrationOf(
  wanted: WantedTopology,
  found: Inventory,
  options: MigrationOptions,
): Migration | undefined {
  const { queue: main, deadLetterQueue } = wanted.names;
  const differing = wanted.queues.filter((queue) => changesOf(queue, found).length > 0);
  const { offsets } = streamQueuesOf(main);
  const moving = [...differing.map(({ name }) => found.queues.get(name)), ...leaving(wanted, found)];
  if (differing.some(({ name }) => name === offsets) || moving.some(isUnmovable)) return undefined;
  const deliveries = deliveriesOf(wanted.names);
  for (const queue of wanted.queues) {
    if (deliveries.includes(queue.name)) continue;
    const migration =
      queue.name === deadLetterQueue
        ? siteMigration(queuePlan(queue, wanted, found), [queue], undefined, found, options)
        : waitQueueMigration(queue, wanted, found, options);
    if (migration !== undefined) return besideOthers(migration, differing, wanted, found);
  }
  const queues = wanted.queues.filter(({ name }) => deliveries.includes(name));
  const change = layoutChange(wanted, found);
  const migration = siteMigration(deliveryPlan(queues, wanted, found), queues, change, found, options);
  return migration === undefined ? undefined : besideOthers(migration, differing, wanted, found);
}

function changesOf(queue: Queue, found: Inventory): QueueChange[] {
  const there = found.queues.get(queue.name);
  return there === undefined ? [] : queueChanges(queue, there);
}

/** A stream keeps what was read; a queue that goes with its last consumer goes with the mover. */
function isUnmovable(queue: FoundQueue | undefined): boolean {
  return queue?.type === 'stream' || queue?.autoDelete === true;
}

/** Wait queues give back what they hold anyway: here before its time, since nothing is bound to them that could be held. */
function waitQueueMigration(
  queue: Queue,
  { queues, names }: WantedTopology,
  found: Inventory,
  { settled }: MigrationOptions,
): Migration | undefined {
  const changes = changesOf(queue, found);
  if (changes.length === 0) return undefined;
  const main = queues.filter(({ name }) => name === names.queue && !found.queues.has(name));
  return {
    queue: queue.name,
    consumers: 'wanted',
    sources: [queue.name],
    changes,
    phase: 'Draining',
    memberships: [],
    steps: [...main.map(declaration), ...emptying(queue.name, names.queue, found, settled, queue)],
  };
}

/** Queues of another layout than the wanted one. */
function leaving({ names }: WantedTopology, found: Inventory): FoundQueue[] {
  const deliveries = deliveriesOf(names);
  return foundDeliveries(names, found).filter(({ name }) => !deliveries.includes(name));
}

function queuePlan(queue: Queue, { bindings }: WantedTopology, found: Inventory): SitePlan {
  const { name } = queue;
  const there = found.queues.get(name);
  const entrance = { name, kind: 'queue' } as const;
  return {
    name,
    queues: [queue],
    ring: [],
    entrance,
    bindings: bindings.filter(({ destination }) => destination === name),
    entrances: there === undefined ? [] : [entrance],
    there: there === undefined ? [] : [there],
    givingBack: [],
    left: [],
  };
}

function deliveryPlan(queues: readonly Queue[], wanted: WantedTopology, found: Inventory): SitePlan {
  const { names, exchanges, bindings } = wanted;
  const { queue: name, keys } = names;
  const exchange = exchanges.find((each) => each.name === keys);
  const entrance = entranceOf(names);
  const there = foundDeliveries(names, found);
  return {
    name,
    queues,
    ...(exchange === undefined ? {} : { exchange }),
    ring: bindings.filter(({ source }) => source === keys),
    entrance,
    bindings: bindings.filter(
      ({ destination, destinationType }) =>
        destination === entrance.name && destinationType === entrance.kind,
    ),
    entrances: [
      ...(found.queues.has(name) ? [{ name, kind: 'queue' } as const] : []),
      ...(hasKeys(names, found) ? [{ name: keys, kind: 'exchange' } as const] : []),
    ],
    there,
    givingBack: found.waitQueues.get(name) ?? [],
    left: [name, ...partitionNamesOf(name)].filter(
      (each) =>
        found.policyIndex.byQueue.has(each) &&
        !queues.some((queue) => queue.name === each) &&
        !there.some((queue) => queue.name === each),
    ),
  };
}

function siteMigration(
  plan: SitePlan,
  queues: readonly Queue[],
  layout: QueueChange | undefined,
  found: Inventory,
  options: MigrationOptions,
): Migration | undefined {
  const site = new MigrationSite(plan, found, options);
  const changes =
    layout === undefined ? distinct(queues.flatMap((each) => changesOf(each, found))) : [layout];
  if (changes.length === 0 && !site.isOpen) return undefined;
  return { ...site.next(changes), changes };
}

/** The same change of every partition is one. */
function distinct(changes: readonly QueueChange[]): QueueChange[] {
  return [...new Map(changes.map((change) => [JSON.stringify(change), change])).values()];
}

/** What is due for the subscription's other objects meanwhile, before the migration's own steps. */
function besideOthers(
  migration: Migration,
  differing: readonly Queue[],
  wanted: WantedTopology,
  found: Inventory,
): Migration {
  const { names } = wanted;
  const deliveries = deliveriesOf(names);
  const isDelivery = migration.queue === names.queue || layoutChange(wanted, found) !== undefined;
  const left = new Set([
    migration.queue,
    ...differing.map(({ name }) => name),
    ...(isDelivery ? [names.queue, names.keys, ...deliveries] : []),
  ]);
  const { memberships, steps } = changesBetween(
    {
      ...wanted,
      exchanges: wanted.exchanges.filter(({ name }) => !left.has(name)),
      queues: wanted.queues.filter(({ name }) => !left.has(name)),
      bindings: wanted.bindings.filter(({ destination }) => !left.has(destination)),
      // What is bound there already is the migration's own.
      names: isDelivery ? { ...names, partitions: [], queue: '' } : names,
    },
    found,
  );
  // Its consumers go on to retry by the broker: without its delays they would be given a message again at once.
  const isLeft = (name: string) => migration.waitsFor !== undefined && deliveries.includes(name);
  // Wait queues that are not needed any more can wait a little longer.
  const others = steps.filter(
    (step) =>
      step.step !== 'deleteQueue' &&
      ((step.step !== 'bind' && step.step !== 'unbind') || !left.has(step.binding.destination)),
  );
  return {
    ...migration,
    memberships: [...memberships.filter(({ queue }) => !isLeft(queue)), ...migration.memberships],
    steps: [...others, ...migration.steps],
  };
}
