/**
 * Deciders in the words of their requirement:
 *
 *     given(orderDecider, placed).when({ kind: 'complete', paymentId }).then(OrderCompleted.create({ … }));
 */
import { isDeepStrictEqual } from 'node:util';
import type { Event, NewEvent } from '@warren/contracts';
import type { Decider } from '@warren/event-store';
import { Refusal } from '../errors.ts';

/** What happens to an aggregate with this past. */
export interface Given<State, Command> {
  when(command: Command): Then<State>;
}

/** What is checked; throws an error that shows both sides. */
export interface Then<State> {
  /** Exactly these events follow, in this order; none means: nothing is to be done. */
  then(...events: readonly NewEvent[]): void;
  /** The command is refused for this reason. */
  refused(reason: string): void;
  /** The state after the events that follow. */
  state(): State;
}

/** An aggregate after these events. */
export function given<State, Command, E extends Event>(
  decider: Decider<State, Command, E>,
  ...past: readonly NewEvent[]
): Given<State, Command> {
  const fold = (events: readonly NewEvent[]) =>
    events.reduce(
      (state, event, index) => decider.evolve(state, asEvent(event, index) as E),
      decider.initial,
    );
  return {
    when: (command) => {
      const decide = () => decider.decide(command, fold(past));
      return {
        then: (...expected) => {
          const found = decide();
          if (!isDeepStrictEqual(plain(found), plain(expected))) {
            throw new Error(`expected ${show(expected)}\nbut found ${show(found)}`);
          }
        },
        refused: (reason) => {
          let found: readonly NewEvent[];
          try {
            found = decide();
          } catch (error) {
            if (error instanceof Refusal && error.reason === reason) return;
            throw error;
          }
          throw new Error(`expected a refusal for ${reason}\nbut found ${show(found)}`);
        },
        state: () => fold([...past, ...decide()]),
      };
    },
  };
}

/** A fact with a place: what a store would have made of it. */
export function asEvent<Type extends string, Data>(
  event: NewEvent<Type, Data>,
  index = 0,
  more: Partial<Event> = {},
): Event<Type, Data> {
  return {
    id: `event-${index + 1}`,
    schemaVersion: 1,
    aggregateId: 'aggregate-1',
    version: index + 1,
    timestamp: new Date(Date.UTC(2026, 0, 31, 12, 0, index)).toISOString(),
    source: 'test',
    correlationId: 'correlation-1',
    ...more,
    ...event,
  };
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function show(events: readonly NewEvent[]): string {
  return events.length === 0 ? 'nothing' : JSON.stringify(events, null, 2);
}
