/** Tries until `probe` neither throws nor gives back false. */
export async function eventually<T>(
  probe: () => Promise<T> | T,
  { timeoutMs = 10_000, intervalMs = 10 }: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const result = await probe();
      if (result !== false) return result;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > until) {
      throw new Error(`not within ${timeoutMs} ms: ${String(probe)}`, { cause: failure });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
