/** For tests: events that are published all the time. */
import { setTimeout as paused } from 'node:timers/promises';
import type { VirtualHost } from './virtual-host.ts';

/** Publishes e-<from>, … until it is ended, each confirmed. `end` gives the number that comes next. */
export function livePublishing(
  host: VirtualHost,
  from: number,
  { batch = 5, everyMs = 10 }: { batch?: number; everyMs?: number } = {},
): { end: () => Promise<number> } {
  const stop = new AbortController();
  let next = from;
  const running = (async () => {
    while (!stop.signal.aborted) {
      const ids = Array.from({ length: batch }, (_, index) => `e-${next + index}`);
      await host.publish('order.placed', ids);
      next += ids.length;
      await paused(everyMs);
    }
  })();
  return {
    end: async () => {
      stop.abort();
      await running;
      return next;
    },
  };
}
