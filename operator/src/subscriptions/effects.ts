/** What a reconcile does once it is decided: writes to the broker, and the binding that the consumer gets. */
import { bindingEntries, describeStep } from '@warren/topology';
import type { Difference } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import { tlsEntriesOf } from '../brokers/secret.ts';
import type { SubscriptionResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { bindingNameOf, consumerOf, handOut } from '../users/handout.ts';
import { subscriptionOf } from './claims.ts';

/** Gives back what was done, in words. @param drifted it is a repair: others' writes are not waited for */
export async function applyDifference(
  { memberships, steps }: Difference,
  connection: BrokerConnection,
  { signal, drifted }: { signal: AbortSignal; drifted: boolean },
): Promise<string[]> {
  // Policies first: one that comes after its queues is matched with each of them once more.
  await connection.settle(memberships, signal);
  const done = memberships.map(({ queue }) => `set the policy of queue ${queue}`);
  if (steps.length === 0) return done;
  const all = async () => {
    for (const step of steps) {
      signal.throwIfAborted();
      if ((await connection.apply(step, signal)) === 'done') done.push(describeStep(step));
    }
  };
  await (drifted ? connection.repairing(all, signal) : connection.together(all, signal));
  return done;
}

/** Hands the consumer its settings, when the queue that they name is there. Gives back the binding's name. */
export async function bindConsumer(
  resource: SubscriptionResource,
  connection: BrokerConnection,
  {
    source,
    signal,
    isPaused,
  }: {
    source: Pick<ResourceSource, 'readBinding' | 'writeBinding'>;
    signal: AbortSignal;
    /** It is to consume nothing: what waits is on its way, and what comes after it must not overtake it. */
    isPaused: boolean;
  },
): Promise<string> {
  const tls = tlsEntriesOf(connection.consumerTls);
  const settings = (uri: string) => ({
    ...bindingEntries(subscriptionOf(resource), connection.capabilities, uri, tls),
    ...(isPaused ? { partitions: '[]' } : {}),
  });
  await handOut(consumerOf(resource, connection), settings, { connection, source, signal });
  return bindingNameOf(resource);
}
