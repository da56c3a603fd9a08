/** The steps of a migration (migration.ts), and how they are put together. */
import { canonical } from './canonical.ts';
import type { BrokerCapabilities } from './capabilities.ts';
import { plain } from './difference.ts';
import type { QueueChange } from './difference.ts';
import type { Inventory } from './inventory.ts';
import type { Binding, Exchange, Membership, Queue } from './objects.ts';
import type { ObjectStep } from './steps.ts';

export type MigrationPhase = 'Preparing' | 'Draining' | 'Recreating' | 'Returning' | 'Finishing';

/** Moves messages, oldest first. */
export interface MoveStep {
  step: 'move';
  from: string;
  to: string;
  /** `caughtUp`: what comes next is to come when as good as nothing is on the way, so that the order is kept. */
  until: 'empty' | 'caughtUp';
  /** Also ahead of the single active consumer that the queue has. */
  ahead: boolean;
}

export type MigrationStep = ObjectStep | MoveStep;

export interface Migration {
  queue: string;
  /** What is other than wanted; none once the queue was made anew. */
  changes: QueueChange[];
  phase: MigrationPhase;
  /** Before the steps. */
  memberships: Membership[];
  /** In this order, up to a move that does not come to its end or a queue that turns out to hold something: then read again. */
  steps: MigrationStep[];
}

export interface MigrationOptions {
  capabilities: BrokerCapabilities;
  /** Nothing was moved out of the queue or routed to it since COUNT_LAG_MS before the counts were read. */
  settled: (queue: string) => boolean;
}

export interface TemporaryNames {
  points: string;
  aside: string;
  arriving: string;
  waited: string;
}

export function temporaryNamesOf(queue: string): TemporaryNames {
  return {
    points: `${queue}.points`,
    aside: `${queue}.aside`,
    arriving: `${queue}.arriving`,
    waited: `${queue}.waited`,
  };
}

/** Deleted only when it was empty a while after the last movement: what is unacknowledged, or was routed just then, is counted late. */
export function emptying(
  from: string,
  to: string,
  found: Inventory,
  settled: MigrationOptions['settled'],
  anew: Queue,
): MigrationStep[] {
  const isEmpty = found.queues.get(from)?.messages === 0 && settled(from);
  const replacing = [{ step: 'deleteQueue', queue: from, onlyIfEmpty: true } as const, declaration(anew)];
  return [moving(from, to, found, 'empty'), ...(isEmpty ? replacing : [])];
}

export function moving(from: string, to: string, found: Inventory, until: MoveStep['until']): MoveStep {
  const ahead = found.queues.get(from)?.arguments['x-single-active-consumer'] === true;
  return { step: 'move', from, to, until, ahead };
}

export function catchAll(source: string, destination: string): Binding {
  return { source, destination, destinationType: 'queue', routingKey: '', arguments: {} };
}

export function redirected(
  binding: Binding,
  destination: string,
  destinationType: Binding['destinationType'],
): Binding {
  return { ...plain(binding), destination, destinationType };
}

export function sameAs(binding: Binding): (other: Binding) => boolean {
  const text = canonical(plain(binding));
  return (other) => canonical(plain(other)) === text;
}

export function fanout(name: string, args: Record<string, unknown>): Exchange {
  return { name, type: 'fanout', durable: true, autoDelete: false, arguments: args };
}

export function declareExchange(exchange: Exchange): ObjectStep {
  return { step: 'declareExchange', exchange };
}

export function declaration(queue: Queue): ObjectStep {
  return { step: 'declareQueue', queue };
}

export function bind(binding: Binding): ObjectStep {
  return { step: 'bind', binding };
}

export function unbind(binding: Binding): ObjectStep {
  return { step: 'unbind', binding: plain(binding) };
}
