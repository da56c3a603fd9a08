/**
 * Where a controller's keys come from. Kubernetes is one such place (see watch-source.ts), a folder of files another.
 */

/** Priorities are any numbers; higher goes first, equal goes first come first served. */
export const Priority = {
  /** Something that is probably fine already: an initial list, a periodic resync. */
  Resync: -100,
  /** Somebody changed something and waits. */
  Normal: 0,
  Urgent: 100,
} as const;

export interface EnqueueOptions {
  /** Default `Priority.Normal`. A key that waits already keeps the higher of the two. */
  priority?: number;
  /** Not before so many milliseconds. A key that waits already keeps the earlier of the two. */
  afterMs?: number;
}

/** Asks for a key to be reconciled. Asking twice before it is taken up is asking once. */
export type Enqueue = (key: string, options?: EnqueueOptions) => void;

export interface Source {
  readonly name: string;
  /** Begins to enqueue. Must not throw; what goes wrong later is the source's to repair. */
  start(enqueue: Enqueue): void;
  /** Resolves when every key that existed at the start has been enqueued. */
  readonly synced: Promise<void>;
  /** After it resolves nothing is enqueued any more and nothing is left open. */
  stop(): Promise<void>;
}
