/** Waiting that is jittered, bounded and can be cut short. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** The delay before try number `failures + 1`: doubles, and is spread over its upper half so that replicas do not beat together. */
export function backoffMs(
  failures: number,
  { initialMs, maxMs }: Backoff,
  random: () => number = Math.random,
): number {
  const full = Math.min(maxMs, initialMs * 2 ** Math.min(failures - 1, 30));
  return full * (0.5 + random() / 2);
}

/** Resolves after the time; rejects with the signal's reason when it aborts first. Holds no process open. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { ref: false, ...(signal && { signal }) });
}
