/**
 * The migration of a queue that RabbitMQ cannot change in place: its type or an argument. Pure, and decided anew from what is
 * found after each reading, so that it goes on from wherever it was cut off, also when the spec was edited back meanwhile.
 *
 * The queue keeps its name: it is emptied, deleted and made anew. Four temporary objects make that safe (ADR 0013):
 *
 *   <queue>.points    exchange that takes over the queue's bindings; what it cannot route goes to the next one
 *   <queue>.aside     exchange, the alternate of the points
 *   <queue>.arriving  queue behind it: what is published while the queue is being made anew
 *   <queue>.waited    queue for what waited in the old one: ahead of what arrives
 *
 *   Preparing   events ─▶ points ─▶ queue, beside the old bindings, which then go: RabbitMQ puts a message into a queue once
 *   Draining    points ─╳ queue: that one unbinding sends everything new to `arriving`. Queue ─▶ waited, until it is empty
 *   Recreating  the queue is deleted and declared as wanted
 *   Returning   waited ─▶ queue, then arriving ─▶ queue; points ─▶ queue: that one binding brings everything new back
 *   Finishing   the queue's own bindings, then the points go; the rest of arriving ─▶ queue; the temporary queues go
 *
 * At every moment a message is routed to exactly one of the queues.
 */
import { difference, queueChanges } from './difference.ts';
import type { QueueChange } from './difference.ts';
import type { Inventory } from './inventory.ts';
import { MigrationSite } from './migration-site.ts';
import { declaration, emptying, temporaryNamesOf } from './migration-steps.ts';
import type { Migration, MigrationOptions } from './migration-steps.ts';
import type { FoundQueue, Queue, WantedTopology } from './objects.ts';
import type { ObjectStep } from './steps.ts';

export { temporaryNamesOf } from './migration-steps.ts';
export type {
  Migration,
  MigrationOptions,
  MigrationPhase,
  MigrationStep,
  MoveStep,
  TemporaryNames,
} from './migration-steps.ts';

/** Undefined where there is nothing to migrate, or what differs cannot be migrated: `difference` tells of that. */
export function migrationOf(
  wanted: WantedTopology,
  found: Inventory,
  options: MigrationOptions,
): Migration | undefined {
  const { queue: main, deadLetterQueue } = wanted.names;
  const differing = wanted.queues.filter((queue) => changesOf(queue, found).length > 0);
  if (differing.some((queue) => isUnmovable(found.queues.get(queue.name)))) return undefined;
  for (const queue of wanted.queues) {
    const migration = [main, deadLetterQueue].includes(queue.name)
      ? queueMigration(queue, wanted, found, options)
      : waitQueueMigration(queue, wanted, found, options);
    if (migration !== undefined) return besideOthers(migration, differing, wanted, found);
  }
  return undefined;
}

/** The temporary objects of a subscription that are there: a deletion that cannot wait takes them along. */
export function temporaryObjects(
  { queue, deadLetterQueue }: { queue: string; deadLetterQueue: string },
  found: Inventory,
): ObjectStep[] {
  return [queue, deadLetterQueue]
    .map(temporaryNamesOf)
    .flatMap(({ points, aside, arriving, waited }) => [
      ...[points, aside]
        .filter((name) => found.exchanges.has(name))
        .map((exchange) => ({ step: 'deleteExchange', exchange }) as const),
      ...[arriving, waited]
        .filter((name) => found.queues.has(name))
        .map((name) => ({ step: 'deleteQueue', queue: name, onlyIfEmpty: false }) as const),
    ]);
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
    changes,
    phase: 'Draining',
    memberships: [],
    steps: [...main.map(declaration), ...emptying(queue.name, names.queue, found, settled, queue)],
  };
}

function queueMigration(
  queue: Queue,
  { bindings }: WantedTopology,
  found: Inventory,
  options: MigrationOptions,
): Migration | undefined {
  const site = new MigrationSite(
    queue,
    bindings.filter(({ destination }) => destination === queue.name),
    found,
    options,
  );
  const changes = changesOf(queue, found);
  if (changes.length > 0) return { ...site.leave(), changes };
  if (!site.isOpen) return undefined;
  return { ...(found.queues.has(queue.name) ? site.comeBack() : site.recreate()), changes };
}

/** What is due for the subscription's other objects meanwhile, before the migration's own steps. */
function besideOthers(
  migration: Migration,
  differing: readonly Queue[],
  wanted: WantedTopology,
  found: Inventory,
): Migration {
  const left = new Set([migration.queue, ...differing.map(({ name }) => name)]);
  const queues = wanted.queues.filter(({ name }) => !left.has(name));
  const { memberships, steps } = difference({ ...wanted, queues }, found);
  // Wait queues that are not needed any more can wait a little longer.
  const others = steps.filter(
    (step) =>
      step.step !== 'deleteQueue' &&
      ((step.step !== 'bind' && step.step !== 'unbind') || !left.has(step.binding.destination)),
  );
  // A queue whose own declaration was left out above has no binding yet either.
  const declared = new Set([...found.queues.keys(), ...queues.map(({ name }) => name)]);
  const possible = others.filter((step) => step.step !== 'bind' || declared.has(step.binding.destination));
  return {
    ...migration,
    memberships: [...memberships, ...migration.memberships],
    steps: [...possible, ...migration.steps],
  };
}
