/**
 * An event: an immutable fact about one aggregate.
 *
 * `(aggregateId, version)` and `id` each name it uniquely among what one source publishes. An event is never changed; what
 * changes is how its `data` is read, by the upcasters of its type in the catalogue.
 */
export interface Event<Type extends string = string, Data = unknown> {
  /** The same when the event is published twice. A consumer remembers it with its source: see event-key.ts. */
  readonly id: string;
  /** Past tense, PascalCase: `OrderPlaced`. The routing key follows from it. */
  readonly type: Type;
  /** The version of the data's schema in the catalogue, from 1. */
  readonly schemaVersion: number;
  readonly aggregateId: string;
  /** The position in its aggregate: from 1, without gaps. */
  readonly version: number;
  /** ISO 8601 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`. */
  readonly timestamp: string;
  /** The service that published it. */
  readonly source: string;
  /** JSON, as the schema of `schemaVersion` describes it; unknown fields are kept. */
  readonly data: Data;
  /** The same for everything that one request caused. */
  readonly correlationId: string;
  /** The id of the event or command that caused this one. */
  readonly causationId?: string;
  /** W3C Trace Context of the span in which it was appended. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** What a decision yields: a fact that has no position yet. `schemaVersion` is the newest unless given. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
  readonly schemaVersion?: number;
}
