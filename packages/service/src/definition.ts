/**
 * What makes a service: a name, what it may say and hear, and what it does with it. Everything else is the same for all.
 */
import type { Catalogue, Event } from '@warren/contracts';
import type { AnyProjection, Decider, EventStore, Once } from '@warren/event-store';
import type { Connection } from 'mongoose';
import type { z } from 'zod';
import type { Handler } from './handlers.ts';
import type { Logger } from './log.ts';
import type { Route } from './route.ts';
import type { BaseSettings } from './settings.ts';

/** What the parts of a service are given to work with. */
export interface App<Own = unknown> {
  readonly name: string;
  readonly settings: BaseSettings & Own;
  readonly log: Logger;
  /** The service's own database; for read models that do not come from its own events. */
  readonly database: Connection;
  readonly store: EventStore;
  /**
   * Decides and appends on behalf of the request at hand; the correlation is carried. Answers the new state, or with
   * `once` the state as it was after the first time.
   * (A handler of events uses the `execute` of its own context instead, which also claims the event.)
   */
  readonly execute: <State, Command, E extends Event>(
    decider: Decider<State, Command, E>,
    aggregateId: string,
    command: Command,
    options?: { readonly once?: Once },
  ) => Promise<State>;
}

/** A service as data; see {@link defineService}. */
export interface ServiceDefinition<Own extends z.ZodRawShape = z.ZodRawShape> {
  /** Names the service in events, logs, metrics and traces; and its database, when MONGODB_URL names none. */
  readonly name: string;
  readonly catalogue: Catalogue;
  /** Its own environment variables. */
  readonly settings?: z.ZodObject<Own>;
  /** Read models made of its own events. */
  readonly projections?: readonly AnyProjection[];
  /** What the service does, made once at its start. */
  readonly parts?: (app: App<z.infer<z.ZodObject<Own>>>) => ServiceParts;
}

/** What a service does. */
export interface ServiceParts {
  /**
   * Makes collections and indexes of its own; runs before anything is served or consumed, at every start, and once more
   * where the database goes away meanwhile.
   */
  readonly prepare?: () => Promise<void>;
  readonly routes?: readonly Route[];
  /** By the name of the EventSubscription. */
  readonly consumers?: Readonly<Record<string, readonly Handler[] | Consumer>>;
  /** Closes what the parts opened; runs when nothing is served or consumed any more. */
  readonly dispose?: () => Promise<void> | void;
}

/** What handles the events of a subscription. Handlers alone have an inbox of the subscription's name. */
export interface Consumer {
  /**
   * What was handled is remembered under this name. It has to stay the same when the subscription is renamed, or what
   * is delivered again takes effect again. Two consumers of one inbox handle each event in one of them.
   */
  readonly inbox: string;
  readonly handlers: readonly Handler[];
}

/** The consumer of a subscription, however it was written. */
export function consumerOf(subscription: string, given: readonly Handler[] | Consumer): Consumer {
  return 'handlers' in given ? given : { inbox: subscription, handlers: given };
}

/** Settles the types of a definition. */
// Without own settings there is no field to infer: the empty object type is what is meant.
// eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type
export function defineService<Own extends z.ZodRawShape = Record<never, never>>(
  definition: ServiceDefinition<Own>,
): ServiceDefinition<Own> {
  return definition;
}
