/**
 * What the relay stumbles over, counted one by one and logged in sums: an outage of the broker holds thousands of
 * aggregates, and is one thing to know.
 */
import type { RelayObserver } from '@warren/event-store';
import { codeOf } from './errors.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** At most one line of each kind in this time. */
const quietMs = 10_000;

export function createRelayObserver(metrics: Pick<Metrics, 'relayHeld'>, log: Logger): RelayObserver {
  const sum = (say: (fields: Record<string, unknown>) => void) => {
    let since = -Infinity;
    let unsaid = 0;
    return (fields: Record<string, unknown>) => {
      unsaid += 1;
      const now = performance.now();
      if (now - since < quietMs) return;
      since = now;
      say({ ...fields, times: unsaid });
      unsaid = 0;
    };
  };
  const held = sum((fields) => {
    log.warn(fields, 'events wait to be published');
  });
  const failed = sum((fields) => {
    log.warn(fields, 'the relay could not ask the database');
  });
  return {
    held: ({ aggregateId, error, retryInMs }) => {
      metrics.relayHeld(codeOf(error));
      held({ err: error, aggregateId, retryInMs: Math.round(retryInMs) });
    },
    failed: (error) => {
      failed({ err: error });
    },
  };
}
