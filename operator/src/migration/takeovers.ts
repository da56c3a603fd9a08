/** Carries out takeovers (topology's takeover.ts), a pass a reconcile, by the same means as migrations. */
import {
  drainedTogether,
  exchangesOf,
  foundDeliveries,
  givingBack,
  isPastReturn,
  namesOf,
  strayBindings,
  takeoverOf,
} from '@warren/topology';
import type { Inventory, Migration, WantedTopology } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { Reading } from '../brokers/mirror.ts';
import type { MigrationStatus, SubscriptionResource } from '../resources.ts';
import type { StoryEvent } from '../source.ts';
import { keyOfBound } from '../subscriptions/claims.ts';
import type { Partner } from '../subscriptions/handover.ts';
import type { Migrator, Pass, PassHooks } from './migrator.ts';

type Place = Pick<Partner, 'namespace' | 'name'>;

export class Takeovers {
  readonly #migrator: Migrator;

  constructor(migrator: Migrator) {
    this.#migrator = migrator;
  }

  /**
   * One pass upon a new reading. Undefined when nothing of the old subscription is left.
   *
   * @param tell hands the old one's consumers their settings, as the takeover has them
   */
  async pass(
    old: Place,
    wanted: WantedTopology,
    connection: BrokerConnection,
    signal: AbortSignal,
    { tell }: Pick<PassHooks, 'tell'>,
  ): Promise<Pass | undefined> {
    const names = namesOf(old.namespace, old.name);
    const decide = async (reading: Reading) => {
      const options = await this.#migrator.optionsFor(names, reading, connection, signal);
      return takeoverOf(names, wanted, reading.found, options);
    };
    const pass = await this.#migrator.pass(wanted, connection, signal, {
      decide,
      ...(tell === undefined ? {} : { tell }),
    });
    if (pass === undefined) this.#migrator.forget(names, connection);
    return pass;
  }

  /** What a takeover that was called off has got goes back. Undefined when it has nothing any more. */
  async giveBack(
    old: Place,
    wanted: WantedTopology,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<Pass | undefined> {
    const names = namesOf(old.namespace, old.name);
    const { queue, deadLetterQueue } = wanted.names;
    const isEmpty = (reading: Reading) => {
      const { settled } = this.#migrator.options(reading, connection);
      const dead = [reading.found.queues.get(deadLetterQueue) ?? []].flat();
      return [...drainedTogether({ queue }, reading.found), ...dead].every(
        ({ name, messages }) => messages === 0 && settled(name),
      );
    };
    const decide = (reading: Reading) => {
      const steps = givingBack(names, wanted.names, reading.found);
      // The last one to come through the points may not be counted yet; and the old queue may not be there again yet.
      if (steps.length === 0 && isEmpty(reading)) return undefined;
      return {
        queue: wanted.names.queue,
        consumers: 'unchanged',
        sources: foundDeliveries(wanted.names, reading.found).map(({ name }) => name),
        changes: [],
        phase: 'Draining',
        memberships: [],
        steps,
      } satisfies Migration;
    };
    return await this.#migrator.pass(wanted, connection, signal, { decide });
  }

  /** From here on it goes on to its end, whoever says what. */
  isFinal(
    old: Place,
    to: Place,
    found: Inventory,
    { capabilities }: Pick<BrokerConnection, 'capabilities'>,
  ): boolean {
    const [from, into] = [old, to].map(({ namespace, name }) => namesOf(namespace, name));
    return (
      from !== undefined && into !== undefined && isPastReturn(from, into, exchangesOf(capabilities), found)
    );
  }

  /** What was bound for a takeover is unbound, before the old queue takes its events back. */
  async callOff(
    names: WantedTopology['names'],
    found: Inventory,
    connection: BrokerConnection,
    signal: AbortSignal,
  ): Promise<void> {
    for (const step of strayBindings(names, found)) await connection.apply(step, signal);
  }
}

export function takeoverProgress(
  resource: Pick<SubscriptionResource, 'metadata' | 'status'>,
  old: Partner,
  { migration, moved, remaining }: Pass,
  phase: string = migration.phase,
): MigrationStatus {
  const { queue } = namesOf(old.namespace, old.name);
  const before = resource.status?.migration?.queue === queue ? resource.status.migration : undefined;
  const left = remaining ?? before?.remaining;
  return {
    queue,
    from: old.key,
    to: keyOfBound(resource),
    phase,
    moved: (before?.moved ?? 0) + moved,
    ...(left === undefined ? {} : { remaining: left }),
  };
}

export function takeoverBegins({ from, to }: MigrationStatus): StoryEvent {
  const message = `${to} takes over the queues of ${from}, with what they hold`;
  return { type: 'Normal', reason: 'TakeoverStarted', action: 'TakeOver', message };
}

export function takeoverEnds(from: string, to: string, moved: number): StoryEvent {
  const message = `${to} has taken over from ${from}; ${moved} messages were moved on the way`;
  return { type: 'Normal', reason: 'TakenOver', action: 'TakeOver', message };
}
