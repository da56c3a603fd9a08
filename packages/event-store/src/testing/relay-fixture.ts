/** For tests of the relay: one that sweeps so rarely that only wake-ups explain what it does, and a broker that remembers. */
import type { Event } from '@warren/contracts';
import { createRelay } from '../relay.ts';
import type { Relay, RelayOptions } from '../relay.ts';
import type { MemoryProcess } from './memory-outbox.ts';

export const never = new Promise<never>(() => undefined);

const relays: Relay[] = [];

export function startRelay(
  store: MemoryProcess,
  options: Partial<RelayOptions> & Pick<RelayOptions, 'publish'>,
): Relay {
  const relay = createRelay({
    store,
    pollMs: 60_000,
    graceMs: 0,
    backoff: { initialMs: 2, maxMs: 10 },
    ...options,
  });
  relays.push(relay);
  relay.start();
  return relay;
}

/** For `afterEach`. */
export async function stopRelays(): Promise<void> {
  await Promise.all(relays.splice(0).map((relay) => relay.stop(100)));
}

/** Takes everything, and remembers the ids in the order in which they came. */
export function memoryBroker(): { readonly ids: string[]; publish: (event: Event) => Promise<void> } {
  const ids: string[] = [];
  return {
    ids,
    publish: async ({ id }) => {
      await Promise.resolve();
      ids.push(id);
    },
  };
}
