/** The deletion of something that gets a binding: how long it still waits for a broker that does not answer, and its end. */
import type { Log, ReconcileContext, Result } from '@warren/controller';
import { concernsBroker } from './brokers/broker-status.ts';
import type { BoundResource } from './resources.ts';
import type { ResourceSource, StoryEvent } from './source.ts';
import { keyOfBound } from './subscriptions/claims.ts';
import { refusalOf, tellOf } from './telling.ts';
import type { Refusal } from './telling.ts';

export interface Patience {
  isOver: boolean;
  /** Until it is: milliseconds, never so few that it is asked without a pause. */
  leftMs: number;
}

/** After so many failures in a row, the last of them seconds apart, a broker that answers counts as one that refuses. */
const FAILURES_BORNE = 10;

export const ENDLESS: Patience = { isOver: false, leftMs: Infinity };

/**
 * Since when deletions are held up by their broker, which may be long after they began: one that has waited for its messages for
 * hours has as much patience with a broker as a new one. A trouble that is over is forgotten; a restart begins anew.
 */
export class Troubles {
  readonly #abandonAfterMs: number;
  /** In milliseconds of `performance.now()`; `deletion`: when the deletion began, for it may be called off. */
  readonly #begun = new Map<string, { deletion: string | undefined; at: number }>();

  constructor(abandonAfterMs: number) {
    this.#abandonAfterMs = abandonAfterMs;
  }

  /** Of one that is held up now. */
  patienceOf(resource: BoundResource): Patience {
    const { deletionTimestamp: deletion } = resource.metadata;
    const key = keyOfBound(resource);
    const before = this.#begun.get(key);
    const begun = before?.deletion === deletion ? before : undefined;
    const { at } = begun ?? { at: performance.now() };
    this.#begun.set(key, { deletion, at });
    const leftMs = this.#abandonAfterMs - (performance.now() - at);
    return { isOver: leftMs <= 0, leftMs: Math.max(100, leftMs) };
  }

  /**
   * The broker answers, and does not let it be done, or fails at it again and again. Undefined where the error is of another kind,
   * or it is tried again first.
   */
  refused(
    resource: BoundResource,
    error: unknown,
    { failures }: Pick<ReconcileContext, 'failures'>,
  ): (Refusal & { patience: Patience }) | undefined {
    const refusal = refusalOf(error);
    if (refusal === undefined) return undefined;
    const patience = this.patienceOf(resource);
    return concernsBroker(error) && failures < FAILURES_BORNE ? undefined : { ...refusal, patience };
  }

  /** The broker has done all that was asked of it, or the resource is gone. */
  forget(key: string): void {
    this.#begun.delete(key);
  }
}

/** Told before the finalizer goes: afterwards there is nothing left to tell it of. */
export async function finishDeletion(
  resource: BoundResource,
  story: Omit<StoryEvent, 'action'>,
  { source, log }: { source: Pick<ResourceSource, 'tell' | 'removeFinalizer'>; log: Log },
): Promise<Result> {
  tellOf(resource, { ...story, action: 'Delete' }, { source, log });
  await source.removeFinalizer(resource);
  return {};
}
