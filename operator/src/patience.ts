/** How long a deletion still waits for a broker that does not answer. */
import type { BoundResource } from './resources.ts';

export interface Patience {
  isOver: boolean;
  /** Until it is: milliseconds, never so few that it is asked without a pause. */
  leftMs: number;
}

export const ENDLESS: Patience = { isOver: false, leftMs: Infinity };

export function patienceOf({ metadata }: Pick<BoundResource, 'metadata'>, abandonAfterMs: number): Patience {
  const waitedMs = Date.now() - Date.parse(metadata.deletionTimestamp ?? '');
  return { isOver: !(waitedMs < abandonAfterMs), leftMs: Math.max(100, abandonAfterMs - waitedMs) };
}
