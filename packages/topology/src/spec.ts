/** An EventSubscription's spec as the API server stores it: validated, and with every default filled in. */

/** `None`: any order. `PerKey`: in order by key, over partitions. `Strict`: one consumer at a time, in order. */
export type Ordering = 'None' | 'PerKey' | 'Strict';

/** `quorum`: replicated, the safe one. `classic`: on one node. `stream`: a log that is read and never emptied. */
export type QueueType = 'quorum' | 'classic' | 'stream';

/** What becomes of the broker's objects when the resource is deleted. */
export type DeletionPolicy = 'Retain' | 'DeleteWhenEmpty' | 'Delete';

/** Whether a change made by hand on the broker is undone or only told. */
export type DriftPolicy = 'Repair' | 'Report';

export interface EventSubscriptionSpec {
  /** Event types (`OrderPlaced`) and routing patterns (`payment.*`, `#`). */
  events: string[];
  /** The workload that consumes: for scaling. */
  consumer?: { kind: string; name: string };
  brokerRef: { name: string };
  delivery: {
    /** Messages that one consumer may hold unacknowledged. */
    prefetch: number;
    ordering: Ordering;
    /** Of PerKey only: how many keys can be handled at the same time; 8. */
    partitions?: number;
    /** `attempts` counts the first one; the delays are durations (`1s`). */
    retry: { attempts: number; backoff: { initial: string; max: string } };
    /** How long a dead letter is kept: a duration (`14d`). */
    deadLetter: { maxAge: string };
  };
  queue: {
    type: QueueType;
    /** Messages that it takes at most; not of a stream. */
    maxLength?: number;
    /** How long an event may wait until it is dead-lettered; of a stream: how long it is kept, read or not. A duration. */
    maxAge?: string;
    /** The highest priority that counts; of a classic queue only: a quorum queue knows its own. */
    maxPriority?: number;
  };
  /** `Now`; of a stream also `Earliest` or an ISO 8601 time. */
  startFrom: string;
  scaling?: {
    minReplicas: number;
    maxReplicas: number;
    drainWithin: string;
    engine: 'Auto' | 'Keda' | 'Hpa';
  };
  deletionPolicy: DeletionPolicy;
  driftPolicy: DriftPolicy;
}

/** One EventSubscription, as far as the broker is concerned. */
export interface Subscription {
  namespace: string;
  name: string;
  spec: EventSubscriptionSpec;
}
