/**
 * A commit: what one append writes, as one document.
 *
 *     { _id: 'order-1@3', aggregateId: 'order-1', from: 3, to: 4, at, source,
 *       events: [{ id, type, schemaVersion, data }, …],       // never change
 *       correlationId, causationId?, trace?,
 *       once?: { handler, messageId },                        // the inbox claim, if a message caused it
 *       pending?: true }                                      // the outbox state: until projected and published
 *
 * Commits of an aggregate lie end to end: each starts where the one before ended. That makes `_id` the lock: two
 * writers that append to the same head insert the same `_id`, and the database lets one of them win. The id of the
 * first event is random, so it tells our own commit from another's after an insert of unknown outcome.
 */
import { ContractError } from '@warren/contracts';
import type { Catalogue, Event } from '@warren/contracts';
import { LogNewerError } from './errors.ts';

/** Which handler did what it did because of which message. */
export interface Once {
  readonly handler: string;
  readonly messageId: string;
}

export interface Trace {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly schemaVersion: number;
  readonly data: unknown;
}

/** The document in the collection `commits`. */
export interface CommitDocument {
  readonly _id: string;
  readonly aggregateId: string;
  readonly from: number;
  readonly to: number;
  readonly at: Date;
  readonly source: string;
  readonly events: readonly StoredEvent[];
  readonly correlationId: string;
  readonly causationId?: string;
  readonly once?: Once;
  readonly trace?: Trace;
  readonly pending?: true;
}

/** A commit as callers see it. Its events are as they were stored; `read` and projections upcast them. */
export interface Commit {
  /** `<aggregateId>@<from>` */
  readonly id: string;
  readonly aggregateId: string;
  /** The versions of its first and its last event. */
  readonly from: number;
  readonly to: number;
  readonly at: Date;
  readonly events: readonly Event[];
  readonly once?: Once;
}

export function commitId(aggregateId: string, from: number): string {
  return `${aggregateId}@${from}`;
}

/** The commit with its events in full, not upcast: what was appended, byte for byte what is published. */
export function toCommit(document: CommitDocument): Commit {
  const timestamp = document.at.toISOString();
  return {
    id: document._id,
    aggregateId: document.aggregateId,
    from: document.from,
    to: document.to,
    at: document.at,
    events: document.events.map(({ id, type, schemaVersion, data }, index) => ({
      id,
      type,
      schemaVersion,
      aggregateId: document.aggregateId,
      version: document.from + index,
      timestamp,
      source: document.source,
      data,
      correlationId: document.correlationId,
      ...(document.causationId !== undefined && { causationId: document.causationId }),
      ...document.trace,
    })),
    ...(document.once && { once: document.once }),
  };
}

/**
 * The events of commits, upcast to the newest version of their schemas.
 * @throws {LogNewerError} when one is of a type or version that the catalogue has not.
 */
export function upcastEvents(commits: readonly Commit[], catalogue: Catalogue): Event[] {
  return commits.flatMap(({ events }) => events.map((event) => upcast(event, catalogue)));
}

/** In its own log a service can only meet what a newer version of it has written: that ends with the update. */
function upcast(event: Event, catalogue: Catalogue): Event {
  try {
    return catalogue.upcast(event);
  } catch (error) {
    if (error instanceof ContractError && error.code === 'WARREN_UNKNOWN_EVENT') {
      throw new LogNewerError(event, { cause: error });
    }
    throw error;
  }
}
