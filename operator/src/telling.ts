/** What is said of something that gets a binding, to people: events of it, the log, and the reason of a refusal. */
import type { Log } from '@warren/controller';
import { concernsBroker } from './brokers/broker-status.ts';
import { BindingTakenError, ConsumerUserError } from './errors.ts';
import type { BoundResource } from './resources.ts';
import type { ResourceSource, StoryEvent } from './source.ts';
import { keyOfBound } from './subscriptions/claims.ts';

export function tellOf(
  resource: BoundResource,
  story: StoryEvent,
  { source, log }: { source: Pick<ResourceSource, 'tell'>; log: Log },
): void {
  source.tell(resource, story);
  const what = resource.kind === 'EventPublisher' ? 'publisher' : 'subscription';
  const fields = { [what]: keyOfBound(resource), reason: story.reason };
  log[story.type === 'Warning' ? 'warn' : 'info'](fields, story.message);
}

export interface Refusal {
  reason: string;
  message: string;
}

/**
 * What a status says of an error that trying again alone will not mend. Undefined where there is nothing to say: errors of the
 * API server would be met again while telling of them, and a connection is closed where the next try has another one.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string' || code.startsWith('WARREN_K8S') || code === 'WARREN_CLOSED') return undefined;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof BindingTakenError) return { reason: 'BindingTaken', message };
  if (error instanceof ConsumerUserError) return { reason: 'NotAdministrator', message };
  return { reason: concernsBroker(error) ? 'BrokerUnavailable' : 'BrokerRefused', message };
}
