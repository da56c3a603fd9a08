/**
 * Every error of this package, each with a stable `code`.
 *
 * | code | class | means | what to do |
 * |---|---|---|---|
 * | `WARREN_CONCURRENCY` | ConcurrencyError | somebody else appended first, or the expected version is no head | load, decide and append again; `execute` does |
 * | `WARREN_ALREADY_HANDLED` | AlreadyHandledError | this handler's effect of this message is stored; `commit` is it | take the earlier outcome; `execute` does |
 * | `WARREN_APPEND_INVALID` | AppendInvalidError | what was given cannot be appended | fix the caller |
 * | `WARREN_APPEND_UNKNOWN` | AppendUnknownError | the database did not answer in time; the commit may be stored or not | append again with the same `once`, or with the same expected version |
 * | `WARREN_LOG_CORRUPT` | LogCorruptError | an aggregate's versions have a gap | stop and look: somebody wrote around the store |
 * | `WARREN_LOG_NEWER` | LogNewerError | a newer version of the service has written an event that this one cannot read | try again when the update is over |
 * | `WARREN_STORE_CLOSED` | StoreClosedError | the connection is not open (yet, or any more) | connect first |
 * | `WARREN_PROJECTION_INVALID` | ProjectionInvalidError | a projection's name or document is not allowed | fix the projection |
 * | `WARREN_PROJECTION_UNKNOWN` | ProjectionUnknownError | another version of the service keeps a projection that this one does not know | wait until the update is over; the other one marks |
 * | `WARREN_REBUILD_SUPERSEDED` | RebuildSupersededError | another process began to rebuild the same projection | let it finish |
 * | `WARREN_INBOX_BUSY` | InboxBusyError | another live process is at this message | try again after `retryAfterMs` |
 * | `WARREN_EFFECT_UNRECORDED` | EffectUnrecordedError | the effect has happened, but the database is away; it is written down as soon as it answers | try again: it is told `before` |
 *
 * Data that breaks its contract is `ContractError` of `@warren/contracts`.
 */
import type { Event } from '@warren/contracts';
import type { Commit } from './commit.ts';

export class ConcurrencyError extends Error {
  override readonly name = 'ConcurrencyError';
  readonly code = 'WARREN_CONCURRENCY';
  readonly aggregateId: string;
  readonly expectedVersion: number;

  constructor(aggregateId: string, expectedVersion: number) {
    super(`${aggregateId} is not at version ${expectedVersion}: load it again, decide again and append`);
    this.aggregateId = aggregateId;
    this.expectedVersion = expectedVersion;
  }
}

export class AlreadyHandledError extends Error {
  override readonly name = 'AlreadyHandledError';
  readonly code = 'WARREN_ALREADY_HANDLED';
  /** What the handler appended the first time. */
  readonly commit: Commit;

  constructor(commit: Commit) {
    super(
      `${commit.once?.handler ?? 'the handler'} has handled message ${commit.once?.messageId ?? ''} in ${commit.id}`,
    );
    this.commit = commit;
  }
}

export class AppendInvalidError extends Error {
  override readonly name = 'AppendInvalidError';
  readonly code = 'WARREN_APPEND_INVALID';
}

export class AppendUnknownError extends Error {
  override readonly name = 'AppendUnknownError';
  readonly code = 'WARREN_APPEND_UNKNOWN';
}

export class LogCorruptError extends Error {
  override readonly name = 'LogCorruptError';
  readonly code = 'WARREN_LOG_CORRUPT';
}

/** In a rolling update. Not permanent: a replica of the newer version reads the same log. */
export class LogNewerError extends Error {
  override readonly name = 'LogNewerError';
  readonly code = 'WARREN_LOG_NEWER';

  constructor({ aggregateId, version, type, schemaVersion }: Event, options: ErrorOptions) {
    super(
      `${aggregateId} at version ${version} is ${type} version ${schemaVersion}, which this version of the service does not know`,
      options,
    );
  }
}

export class StoreClosedError extends Error {
  override readonly name = 'StoreClosedError';
  readonly code = 'WARREN_STORE_CLOSED';
}

export class ProjectionInvalidError extends Error {
  override readonly name = 'ProjectionInvalidError';
  readonly code = 'WARREN_PROJECTION_INVALID';
}

/** In a rolling update. Given to `held`, never thrown. */
export class ProjectionUnknownError extends Error {
  override readonly name = 'ProjectionUnknownError';
  readonly code = 'WARREN_PROJECTION_UNKNOWN';
}

export class RebuildSupersededError extends Error {
  override readonly name = 'RebuildSupersededError';
  readonly code = 'WARREN_REBUILD_SUPERSEDED';
}

export class InboxBusyError extends Error {
  override readonly name = 'InboxBusyError';
  readonly code = 'WARREN_INBOX_BUSY';
  /** Ask again after this time: a claim is free when it was seen unrenewed, again and again, for its whole lease. */
  readonly retryAfterMs: number;

  constructor(handler: string, messageId: string, retryAfterMs: number) {
    super(
      `message ${messageId} is being handled by ${handler} in another process: try again in ${Math.ceil(retryAfterMs)} ms`,
    );
    this.retryAfterMs = retryAfterMs;
  }
}

export class EffectUnrecordedError extends Error {
  override readonly name = 'EffectUnrecordedError';
  readonly code = 'WARREN_EFFECT_UNRECORDED';

  constructor(handler: string, messageId: string) {
    super(
      `${handler} has done its effect of message ${messageId}; that is written down when the database answers again`,
    );
  }
}
