/**
 * Whether an error says that the database is away. Nobody who asked is to blame for it: a request is told to come again,
 * and a message goes back at no attempt.
 */
import { isTransient } from '@warren/event-store';

/** Names of what the driver and mongoose say while they have no connection. */
const away =
  /^Mongo(?:ose)?(?:ServerSelection|NotConnected|PoolCleared|WaitQueueTimeout|TopologyClosed|ClientClosed)/;
/** What the event store says for the same. */
const codes = new Set<unknown>(['WARREN_STORE_CLOSED', 'WARREN_APPEND_UNKNOWN', 'WARREN_EFFECT_UNRECORDED']);

/** True when the same may work as soon as the database is back. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return isTransient(error) || away.test(error.name) || ('code' in error && codes.has(error.code));
}
