/** The numbers in a subscription's status, out of the counts of its queues. */
import { namesOf } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { SubscriptionResource } from '../resources.ts';
import { namespaceOf } from './claims.ts';
import type { Counts } from './status.ts';

/** Undefined where one of them is not known: that is not zero. */
export function countsOf(
  resource: SubscriptionResource,
  connection: Pick<BrokerConnection, 'statsOf'>,
): Counts | undefined {
  const { queue, deadLetterQueue } = namesOf(namespaceOf(resource), resource.metadata.name);
  const { ready, unacked, consumers } = connection.statsOf(queue) ?? {};
  const { messages: deadLetters } = connection.statsOf(deadLetterQueue) ?? {};
  if (ready === undefined || unacked === undefined || consumers === undefined || deadLetters === undefined)
    return undefined;
  return { ready, unacked, deadLetters, consumers };
}

/** Whether the status says something else than what was counted. */
export function isCountedAnew({ status }: SubscriptionResource, counts: Counts | undefined): boolean {
  if (counts === undefined) return false;
  const { messages, consumers } = status ?? {};
  return (
    messages?.ready !== counts.ready ||
    messages.unacked !== counts.unacked ||
    messages.deadLetters !== counts.deadLetters ||
    consumers !== counts.consumers
  );
}
