/** Waits on a condition, never for a time. */

export interface EventuallyOptions {
  /** Milliseconds until it gives up; 20,000 by default. */
  timeoutMs?: number;
  /** Milliseconds between two tries; 10 by default. */
  intervalMs?: number;
}

type Falsy = false | 0 | '' | null | undefined;

/**
 * Tries until the probe gives back something truthy, and gives that back. Rejects with the probe's last error, or with
 * its last value, when the time is over.
 */
export async function eventually<T>(
  probe: () => Promise<T> | T,
  { timeoutMs = 20_000, intervalMs = 10 }: EventuallyOptions = {},
): Promise<Exclude<T, Falsy>> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    let last: { error: unknown } | { value: T };
    try {
      const value = await probe();
      if (value) return value as Exclude<T, Falsy>;
      last = { value };
    } catch (error) {
      last = { error };
    }
    if (performance.now() > until) throw failure(last, timeoutMs, probe);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

function failure(last: { error: unknown } | { value: unknown }, timeoutMs: number, probe: unknown): Error {
  const within = `not within ${timeoutMs} ms: ${String(probe)}`;
  if ('error' in last) {
    const reason = last.error instanceof Error ? last.error.message : String(last.error);
    return new Error(`${within}\nlast error: ${reason}`, { cause: last.error });
  }
  const hint = last.value === undefined ? ' (a probe without a value gives back true)' : '';
  return new Error(`${within}\nlast value: ${String(last.value)}${hint}`);
}
