/**
 * A decider is a whole aggregate as three pure things; `execute` runs one command through it.
 *
 * `execute` loads, decides and appends, again from the start when somebody else appended in between. With `once` it
 * is idempotent: a message that was handled before yields the outcome of the first time, even when deciding it again
 * would fail by now.
 */
import type { Catalogue, Event, NewEvent } from '@warren/contracts';
import { backoffMs, pause } from './backoff.ts';
import { upcastEvents } from './commit.ts';
import type { Commit } from './commit.ts';
import { AlreadyHandledError, ConcurrencyError } from './errors.ts';
import type { AppendOptions } from './log.ts';

export interface Decider<State, Command, E extends Event = Event> {
  readonly initial: State;
  /** The state after the event, which is upcast to the newest version. Does not change the state it is given. */
  evolve(state: State, event: E): State;
  /** What follows from the command: events, none when nothing is to be done, or an error when it is not allowed. */
  decide(command: Command, state: State): readonly NewEvent[];
}

export interface ExecuteOptions extends AppendOptions {
  /** How often it may lose the race before ConcurrencyError is thrown; 10 by default. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

export interface Outcome<State> {
  /** The aggregate that was appended to. */
  readonly aggregateId: string;
  readonly state: State;
  /** The version after it. */
  readonly version: number;
  /** What was appended, upcast; empty when the decision was to do nothing. */
  readonly events: readonly Event[];
  /** Whether this is the outcome of an earlier delivery of the same message. */
  readonly alreadyHandled: boolean;
}

/** What `execute` needs of a store. */
export interface ExecuteStore {
  readonly catalogue: Catalogue;
  readCommits(aggregateId: string, range?: { readonly to?: number }): Promise<Commit[]>;
  append(
    aggregateId: string,
    expectedVersion: number,
    events: readonly NewEvent[],
    options: AppendOptions & { readonly headIsKnown: boolean },
  ): Promise<Commit>;
  findOnce(once: { readonly handler: string; readonly messageId: string }): Promise<Commit | undefined>;
}

const LOST_RACE = { initialMs: 2, maxMs: 200 };

export async function execute<State, Command, E extends Event>(
  store: ExecuteStore,
  decider: Decider<State, Command, E>,
  aggregateId: string,
  command: Command,
  { attempts = 10, signal, ...options }: ExecuteOptions,
): Promise<Outcome<State>> {
  const { once } = options;
  const fold = (commits: readonly Commit[], from: State = decider.initial): State =>
    upcastEvents(commits, store.catalogue).reduce((state, event) => decider.evolve(state, event as E), from);

  const earlierOutcome = async (commit: Commit): Promise<Outcome<State>> => ({
    aggregateId: commit.aggregateId,
    state: fold(await store.readCommits(commit.aggregateId, { to: commit.to })),
    version: commit.to,
    events: upcastEvents([commit], store.catalogue),
    alreadyHandled: true,
  });

  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const commits = await store.readCommits(aggregateId);
    const before = commits.find((commit) => once && isSame(commit.once, once));
    if (before) return await earlierOutcome(before);

    const state = fold(commits);
    const version = commits.at(-1)?.to ?? 0;
    let events: readonly NewEvent[];
    try {
      events = decider.decide(command, state);
    } catch (error) {
      // The first delivery may have gone to another aggregate, and this refusal may be its consequence.
      const commit = once && (await store.findOnce(once));
      if (commit) return await earlierOutcome(commit);
      throw error;
    }
    if (events.length === 0) {
      const commit = once && (await store.findOnce(once));
      if (commit) return await earlierOutcome(commit);
      return { aggregateId, state, version, events: [], alreadyHandled: false };
    }
    try {
      const commit = await store.append(aggregateId, version, events, { ...options, headIsKnown: true });
      return {
        aggregateId,
        state: fold([commit], state),
        version: commit.to,
        events: upcastEvents([commit], store.catalogue),
        alreadyHandled: false,
      };
    } catch (error) {
      if (error instanceof AlreadyHandledError) return await earlierOutcome(error.commit);
      if (!(error instanceof ConcurrencyError) || attempt >= attempts) throw error;
      await pause(backoffMs(attempt, LOST_RACE), signal);
    }
  }
}

function isSame(a: Commit['once'], b: { readonly handler: string; readonly messageId: string }): boolean {
  return a?.handler === b.handler && a.messageId === b.messageId;
}
