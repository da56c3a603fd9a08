/** The deletion of something that gets a binding: how long it still waits for a broker that does not answer, and its end. */
import type { Log, Result } from '@warren/controller';
import { concernsBroker } from './brokers/broker-status.ts';
import type { BoundResource } from './resources.ts';
import type { ResourceSource, StoryEvent } from './source.ts';
import { tellOf } from './telling.ts';

export interface Patience {
  isOver: boolean;
  /** Until it is: milliseconds, never so few that it is asked without a pause. */
  leftMs: number;
}

/** After so many failures in a row, the last of them seconds apart, a broker that answers counts as one that refuses. */
const FAILURES_BORNE = 10;

/** Whether a broker that is up does not let it be done, or has failed at it often enough. @param failures in a row before this one */
export function isRefused(error: unknown, failures: number): boolean {
  return !concernsBroker(error) || failures >= FAILURES_BORNE;
}

export const ENDLESS: Patience = { isOver: false, leftMs: Infinity };

export function patienceOf({ metadata }: Pick<BoundResource, 'metadata'>, abandonAfterMs: number): Patience {
  const waitedMs = Date.now() - Date.parse(metadata.deletionTimestamp ?? '');
  return { isOver: !(waitedMs < abandonAfterMs), leftMs: Math.max(100, abandonAfterMs - waitedMs) };
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
