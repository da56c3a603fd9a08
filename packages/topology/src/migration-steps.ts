/** The steps of a migration (migration.ts), and how they are put together. */
import type { BrokerCapabilities } from './capabilities.ts';
import { isSameBinding, plain } from './bindings.ts';
import type { QueueChange } from './difference.ts';
import type { Inventory } from './inventory.ts';
import type { Entrance } from './layout.ts';
import type { Binding, Exchange, Membership, Queue } from './objects.ts';
import { keepsOrder } from './queue-types.ts';
import type { ObjectStep } from './steps.ts';

export type MigrationPhase = 'Preparing' | 'Waiting' | 'Draining' | 'Recreating' | 'Returning' | 'Finishing';

/** Moves messages, oldest first. */
export interface MoveStep {
  step: 'move';
  from: string;
  /** A queue, or the exchange that leads to partitions. */
  to: string;
  toKind: Binding['destinationType'];
  /** `caughtUp`: what comes next is to come when as good as nothing is on the way, so that the order is kept. */
  until: 'empty' | 'caughtUp';
  /** Also ahead of the single active consumer that the queue has. */
  ahead: boolean;
  /**
   * While somebody else consumes it. `skip`: nothing is moved, for who does empties it in its order, and would overtake what is
   * moved. `wait`: nor is any step made that comes after, for it is a mover that died, and the broker does not know it yet.
   */
  attended: 'move' | 'skip' | 'wait';
}

export type MigrationStep = ObjectStep | MoveStep;

/** `paused`: they are to leave their queues alone. `unchanged`: whatever they were told last still holds. */
export type Consumers = 'wanted' | 'paused' | 'unchanged';

export interface Migration {
  queue: string;
  /** What consumers are to be told, before the steps. */
  consumers: Consumers;
  /** The queues whose messages are not yet where they belong. */
  sources: string[];
  /** What is other than wanted; none once the queue was made anew. */
  changes: QueueChange[];
  phase: MigrationPhase;
  /** Before the steps. */
  memberships: Membership[];
  /** In this order, up to a move that does not come to its end or a queue that turns out to hold something: then read again. */
  steps: MigrationStep[];
  /** What nothing but time brings on: a sentence. */
  waitsFor?: string;
}

export interface MigrationOptions {
  capabilities: BrokerCapabilities;
  /** Nothing was moved out of the queue or routed to it since COUNT_LAG_MS before the counts were read. */
  settled: (queue: string) => boolean;
  /** The queue and its wait queues were empty for so long, and without a retry between them, that no message can be in them. */
  drained: boolean;
  /**
   * Until when the broker delays retries in a queue, where that is too long for what is new to wait: milliseconds since 1970.
   * Nothing gives them out before. Not there: nobody has asked.
   */
  delayedUntil?: (queue: string) => number | undefined;
}

/** Why what is new goes on to these queues as before: a sentence; undefined where it need not. */
export function delaysIn(
  queues: readonly { name: string }[],
  { delayedUntil }: Pick<MigrationOptions, 'delayedUntil'>,
): string | undefined {
  const until = queues.flatMap(({ name }) => delayedUntil?.(name) ?? []);
  if (until.length === 0) return undefined;
  const last = new Date(Math.max(...until)).toISOString();
  return `until ${last} the broker delays retries that cannot be moved: all goes on as before`;
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
  return [moving(from, { name: to, kind: 'queue' }, found), ...(isEmpty ? replacing : [])];
}

export function moving(
  from: string,
  to: Entrance | string,
  found: Inventory,
  { until = 'empty', attended = 'move' }: Partial<Pick<MoveStep, 'until' | 'attended'>> = {},
): MoveStep {
  const { name, kind } = entranceOfName(to);
  const queue = found.queues.get(from);
  const ahead = queue !== undefined && keepsOrder(queue);
  return { step: 'move', from, to: name, toKind: kind, until, ahead, attended };
}

/** A name is a queue's. */
function entranceOfName(to: Entrance | string): Entrance {
  return typeof to === 'string' ? { name: to, kind: 'queue' } : to;
}

export function catchAll(source: string, to: Entrance | string): Binding {
  const { name, kind } = entranceOfName(to);
  return { source, destination: name, destinationType: kind, routingKey: '', arguments: {} };
}

export function redirected(
  binding: Binding,
  destination: string,
  destinationType: Binding['destinationType'],
): Binding {
  return { ...plain(binding), destination, destinationType };
}

export function sameAs(binding: Binding): (other: Binding) => boolean {
  return (other) => isSameBinding(binding, other);
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
