/** An EventSubscription's spec as the API server stores it: validated, and with every default filled in. */

/** `None`: any order. `PerKey`: by key, over partitions (not there yet). `Strict`: one consumer at a time. */
export type Ordering = 'None' | 'PerKey' | 'Strict';

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
    /** `attempts` counts the first one; the delays are durations (`1s`). */
    retry: { attempts: number; backoff: { initial: string; max: string } };
    /** How long a dead letter is kept: a duration (`14d`). */
    deadLetter: { maxAge: string };
  };
  queue: { type: 'quorum'; maxLength?: number };
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
