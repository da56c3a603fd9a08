/**
 * Carries out the migration of a subscription's queue, one pass a reconcile: read, decide (migrationOf), make the steps that
 * are due, move messages for a few seconds, and come again.
 *
 * What has to be done next is found on the broker; an operator that dies leaves the rest to the next one. Remembered is only
 * when a queue last moved, so that its counts are of after that, and since when it is empty: a restart waits anew. In hand is
 * never more than the mover's window, and few queues are moved at the same time.
 */
import { asError, connectBroker, MoveFailedError, moveMessages } from '@warren/rabbitmq';
import type { BrokerConnection as AmqpConnection, Moved, MoveOptions } from '@warren/rabbitmq';
import {
  besideConflicts,
  conflictsAt,
  COUNT_LAG_MS,
  migrationOf,
  temporaryNamesOf,
  temporaryObjects,
} from '@warren/topology';
import type {
  Consumers,
  Inventory,
  Migration,
  MigrationOptions,
  MigrationStep,
  MoveStep,
  WantedTopology,
} from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Reading } from '../brokers/mirror.ts';
import { delaysOf } from './delays.ts';
import { countsTogether, Drained } from './drained.ts';

export interface Pass {
  migration: Migration;
  /** Messages that this pass has moved. */
  moved: number;
  /** Messages that are not yet where they belong, as they were last counted. Undefined where the broker does not tell. */
  remaining: number | undefined;
  /** Why messages do not move, if they do not. */
  failure?: string;
  /** When the next pass is worth it: milliseconds. */
  againMs: number;
}

export interface PassHooks {
  decide?: (reading: Reading) => Migration | undefined | Promise<Migration | undefined>;
  tell?: (consumers: Consumers) => Promise<void>;
  /** Nothing new is to come in, however long the broker delays retries. */
  closes?: boolean;
}

export interface MigratorOptions {
  /** How long one pass moves messages: milliseconds. */
  moveMs?: number;
  /** Queues that are moved at the same time. */
  parallel?: number;
}

/** Between an empty queue and its counts there is nothing to do. */
const LOOK_AGAIN_MS = 1_000;
const AFTER_FAILURE_MS = 2_000;
/** What only time brings on may take a day. */
const AFTER_WAITING_MS = 10_000;
/** A queue without a message for so long has nothing on its way: milliseconds. */
const QUIET_MS = 50;
/** So many passes wait for a quiet moment of a queue that must keep its order; then for any in which it is empty. */
const QUIET_PASSES = 5;

export class Migrator {
  readonly #moveMs: number;
  readonly #parallel: number;
  #moving = 0;
  /** By broker and queue, in milliseconds of `performance.now()`. */
  readonly #movedAt = new Map<string, number>();
  /** By broker and queue: passes without a quiet moment. */
  readonly #restless = new Map<string, number>();
  readonly #drained = new Drained();

  constructor({ moveMs = 5_000, parallel = 4 }: MigratorOptions = {}) {
    this.#moveMs = moveMs;
    this.#parallel = parallel;
  }

  /** What is to be migrated, as far as this reading tells. */
  due(wanted: WantedTopology, reading: Reading, connection: BrokerConnection): Migration | undefined {
    return migrationOf(wanted, reading.found, this.options(reading, connection));
  }

  /** What this reading alone can be trusted with. */
  options({ readAt }: Reading, connection: BrokerConnection): MigrationOptions {
    return {
      drained: false,
      capabilities: connection.capabilities,
      settled: (queue) => readAt >= this.#lastMove(connection, queue) + COUNT_LAG_MS,
    };
  }

  /** The same together with the readings before, of the passes that empty this queue. */
  async optionsFor(
    names: Pick<WantedTopology['names'], 'queue'>,
    reading: Reading,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<MigrationOptions> {
    const movedAt = this.#lastMove(connection, names.queue);
    const key = keyOf(connection, names.queue);
    const counts = countsTogether(names, reading);
    const { drained } = await this.#drained.look(key, counts, { movedAt, connection, signal });
    const delays = await delaysOf(names, reading.found, connection, signal);
    const delayedUntil = (queue: string) => delays.get(queue);
    return { ...this.options(reading, connection), drained, delayedUntil };
  }

  /**
   * One pass upon a new reading. Undefined when nothing is left to migrate.
   *
   * @param decide what is to be done; the migration that is due where nobody says otherwise
   * @param tell hands consumers their settings, as the migration has them
   * @param closes nothing new is to come in: of the migration that is due
   */
  async pass(
    wanted: WantedTopology,
    connection: BrokerConnection,
    signal: AbortSignal,
    {
      decide = async (reading) =>
        migrationOf(wanted, reading.found, {
          ...(await this.optionsFor(wanted.names, reading, connection, signal)),
          ...(closes ? { delayedUntil: () => undefined } : {}),
        }),
      tell,
      closes = false,
    }: PassHooks = {},
  ): Promise<Pass | undefined> {
    const reading = await connection.inventory({ maxAgeMs: 0, signal });
    const migration = await decide(reading);
    if (migration === undefined) {
      this.forget(wanted.names, connection);
      return undefined;
    }
    const { queue, memberships, steps } = migration;
    const counts = countsOf(migration, reading.found);
    // Whoever deletes a subscription, or has it taken over, has not been told of a conflict before; nor has anybody of what was
    // declared since the reading that began it.
    const conflicts = [
      ...conflictsAt(queue, reading.found),
      ...(steps.some(({ step }) => step !== 'move') ? besideConflicts(wanted, reading.found) : []),
    ];
    if (conflicts.length > 0)
      return {
        ...{ migration, moved: 0, remaining: sumOf(counts), failure: conflicts.join('; ') },
        againMs: AFTER_FAILURE_MS,
      };
    await tell?.(migration.consumers);
    await connection.settle(memberships, signal);
    let moved = 0;
    const end = (againMs: number, failure = migration.waitsFor): Pass => ({
      migration,
      moved,
      remaining: sumOf(counts),
      ...(failure === undefined ? {} : { failure }),
      againMs,
    });
    for (const [index, step] of steps.entries()) {
      signal.throwIfAborted();
      if (step.step !== 'move') {
        if (await this.#apply(step, migration, connection, signal)) continue;
        return end(LOOK_AGAIN_MS);
      }
      if (this.#moving >= this.#parallel) return end(LOOK_AGAIN_MS, 'other queues are being moved');
      const rest = step.until === 'caughtUp' ? steps.slice(index + 1) : [];
      const run = await this.#move(step, rest, migration, connection, signal);
      moved += run.moved;
      if (run.moved > 0) this.#touch(connection, step.from, step.to, queue);
      if (run.left !== undefined) counts.set(step.from, run.left);
      if (run.failure !== undefined) return end(AFTER_FAILURE_MS, run.failure.message);
      if (run.attended === true && step.attended === 'wait')
        return end(LOOK_AGAIN_MS, `${step.from} is still in the hands of an operator that is gone`);
      if (run.attended === true && !run.empty)
        return end(LOOK_AGAIN_MS, `${step.from} is still consumed, and emptied in its order by that`);
      if (!run.empty) return end(run.moved > 0 ? 1 : LOOK_AGAIN_MS);
      if (rest.length > 0) break;
    }
    const worked = moved > 0 || memberships.length > 0 || steps.some(({ step }) => step !== 'move');
    return end(worked ? 1 : migration.waitsFor === undefined ? LOOK_AGAIN_MS : AFTER_WAITING_MS);
  }

  /** Something of a migration is there, whatever is wanted now. */
  isUnderWay(names: WantedTopology['names'], found: Inventory): boolean {
    return (
      temporaryObjects(names, found).length > 0 ||
      temporaryQueues(names).some((queue) => found.policyIndex.byQueue.has(queue))
    );
  }

  /** A deletion that takes everything with it takes the temporary objects too. */
  async discard(
    names: WantedTopology['names'],
    found: Inventory,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<void> {
    const steps = temporaryObjects(names, found);
    for (const step of steps) await connection.apply(step, signal);
    const left = temporaryQueues(names).filter((queue) => found.policyIndex.byQueue.has(queue));
    await connection.settle(
      left.map((queue) => ({ queue, settings: undefined })),
      signal,
    );
  }

  /** False when a queue that was to be deleted as empty is not. */
  async #apply(
    step: Exclude<MigrationStep, MoveStep>,
    { queue, sources }: Migration,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<boolean> {
    const result = await connection.apply(step, signal);
    const { arriving } = temporaryNamesOf(queue);
    // A message may have been routed just before, and not be counted yet.
    if (step.step === 'unbind' || step.step === 'deleteExchange')
      this.#touch(connection, queue, arriving, ...sources);
    return result !== 'left';
  }

  async #move(
    step: MoveStep,
    rest: readonly MigrationStep[],
    migration: Migration,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<Moved> {
    const key = keyOf(connection, step.from);
    const restless = this.#restless.get(key) ?? 0;
    const reached: { yes: boolean; error?: Error } = { yes: false };
    this.#moving += 1;
    try {
      await using amqp = connectBroker({ ...connection.amqp, name: `warren-operator: ${step.from}` });
      const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#moveMs * 2)]);
      const run = await moved(amqp, {
        from: step.from,
        to: step.to,
        toKind: step.toKind,
        ahead: step.ahead,
        unattended: step.attended !== 'move',
        forMs: this.#moveMs,
        quietMs: step.until === 'caughtUp' && restless >= QUIET_PASSES ? 0 : QUIET_MS,
        signal: limit,
        whenEmpty: async (bind) => {
          reached.yes = true;
          try {
            for (const each of rest) if (each.step === 'bind') await bind(each.binding);
            for (const each of rest)
              if (each.step !== 'move') await this.#apply(each, migration, connection, signal);
          } catch (error) {
            reached.error = asError(error);
          }
        },
      });
      signal.throwIfAborted();
      if (reached.error !== undefined) throw reached.error;
      if (step.until === 'empty') return run;
      this.#restless.set(key, reached.yes ? 0 : restless + 1);
      return { ...run, empty: reached.yes };
    } finally {
      this.#moving -= 1;
    }
  }

  #lastMove(connection: BrokerConnection, queue: string): number {
    const key = keyOf(connection, queue);
    // Nobody knows when it was: now.
    const at = this.#movedAt.get(key) ?? performance.now();
    this.#movedAt.set(key, at);
    return at;
  }

  #touch(connection: BrokerConnection, ...queues: string[]): void {
    for (const queue of queues) this.#movedAt.set(keyOf(connection, queue), performance.now());
  }

  /** When its queues last moved is of no use any more. */
  forget({ queue }: Pick<WantedTopology['names'], 'queue'>, connection: BrokerConnection): void {
    const own = keyOf(connection, queue);
    this.#drained.forget(own);
    for (const map of [this.#movedAt, this.#restless])
      for (const key of map.keys()) if (key === own || key.startsWith(`${own}.`)) map.delete(key);
  }
}

/** As moveMessages, also where there is no connection in time. */
async function moved(amqp: AmqpConnection, options: MoveOptions): Promise<Moved> {
  try {
    return await moveMessages(amqp, options);
  } catch (error) {
    const failure = new MoveFailedError(options.from, options.to, amqp.lastError ?? error);
    return { moved: 0, empty: false, left: undefined, failure };
  }
}

export function keyOf({ name }: BrokerConnection, queue: string): string {
  return `${name} ${queue}`;
}

function temporaryQueues({ queue, deadLetterQueue }: { queue: string; deadLetterQueue: string }): string[] {
  return [queue, deadLetterQueue].map(temporaryNamesOf).flatMap(({ arriving, waited }) => [arriving, waited]);
}

/** The messages that are not yet where they belong, by queue. */
function countsOf({ sources }: Migration, found: Inventory): Map<string, number | undefined> {
  return new Map(sources.map((name) => [name, found.queues.get(name)?.messages]));
}

function sumOf(counts: ReadonlyMap<string, number | undefined>): number | undefined {
  let sum = 0;
  for (const count of counts.values()) {
    if (count === undefined) return undefined;
    sum += count;
  }
  return sum;
}
