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

/** Resolves after the time; rejects when the signal aborts first. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { ...(signal && { signal }) });
}

/** Waits for `done`, but not longer than `ms`; whether it came in time. Leaves no timer behind and never rejects. */
export async function within(ms: number, done: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
  const late = new AbortController();
  const signals = signal ? AbortSignal.any([late.signal, signal]) : late.signal;
  const outcome = await Promise.race([
    done.then(
      () => true,
      () => true,
    ),
    pause(ms, signals).then(
      () => false,
      () => false,
    ),
  ]);
  late.abort();
  return outcome;
}
