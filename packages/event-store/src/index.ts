/** Events stored, projected and published by one service, so that none is lost and none takes effect twice. */
export type { Event, NewEvent } from '@warren/contracts';
export { createEventStore, rebuildProjections } from './event-store.ts';
export type { EventStore, EventStoreOptions } from './event-store.ts';
export { isDuplicateKey, isTransient } from './database.ts';
export type { Commit, Once, Trace } from './commit.ts';
export type { AppendOptions, Position } from './log.ts';
export type { Decider, ExecuteOptions, Outcome } from './decider.ts';
export { defineProjection } from './projection.ts';
export type { AnyProjection, Projection, ProjectionDefinition, ProjectionIndex } from './projection.ts';
export type { FindOptions, ProjectionReader } from './projection-reader.ts';
export type { RebuildOptions, RebuildProgress } from './rebuild.ts';
export type { Backlog, Outbox, SweepLease } from './outbox.ts';
export type { ProjectionFailure } from './projector.ts';
export { createRelay } from './relay.ts';
export type { Relay, RelayObserver, RelayOptions, RelayStore } from './relay.ts';
export type { Backoff } from './backoff.ts';
export { createInbox, idempotencyKey } from './inbox.ts';
export type { Inbox, InboxOptions, OnceOptions, OnceResult } from './inbox.ts';
export {
  AlreadyHandledError,
  AppendInvalidError,
  AppendUnknownError,
  ConcurrencyError,
  EffectUnrecordedError,
  InboxBusyError,
  LogCorruptError,
  LogNewerError,
  ProjectionInvalidError,
  ProjectionUnknownError,
  RebuildSupersededError,
  StoreClosedError,
} from './errors.ts';
