/** Small things that every part of the bench needs. */

export const PARALLEL = 16;

/** Since a moment of `performance.now()`. */
export function seconds(since: number): number {
  return round((performance.now() - since) / 1_000);
}

export function round(value: number): number {
  return Number(value.toFixed(2));
}

/** The nearest-rank percentile, in the unit of the values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? NaN;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function inParallel<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = waiting.next(); next.done !== true; next = waiting.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
