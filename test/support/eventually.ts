import { eventually, type EventuallyOptions } from '@warren/environment/testing';

/** Tries until the assertions hold; rejects with the last one that did not. */
export async function eventuallyHolds(assertions: () => unknown, options?: EventuallyOptions): Promise<void> {
  await eventually(
    async () => {
      await assertions();
      return true;
    },
    { intervalMs: 50, ...options },
  );
}
