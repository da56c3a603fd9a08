/** The comparison of all EventPublishers of a broker with what was read of it, besides their users (users/user-survey.ts). Pure. */
import { exchangeConflicts, exchangesOf, topicExchange } from '@warren/topology';
import type { Inventory } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import { conditionOf } from '../conditions.ts';
import { allows } from '../resources.ts';
import type { PublisherResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { isDeleting, keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import { isPaused, isUnmanaged } from '../subscriptions/hands-off.ts';
import { isNameTaken } from './standing.ts';
import { isSettled } from './status.ts';

/** The keys of those that are worth a reconcile: what they need has gone, or has come. */
export function surveyPublishers(
  source: Pick<ResourceSource, 'publishers' | 'subscriptions' | 'brokers'>,
  found: Pick<Inventory, 'exchanges'>,
  { name, capabilities }: Pick<BrokerConnection, 'name' | 'capabilities'>,
): string[] {
  const broker = source.brokers.get(name);
  const { events } = exchangesOf(capabilities);
  const exchange = found.exchanges.get(events);
  const isInTheWay = exchangeConflicts(topicExchange(events), exchange).length > 0;
  const isWorthIt = (one: PublisherResource): boolean => {
    if (isDeleting(one) || isPaused(one) || isUnmanaged(one)) return false;
    const isKnown = (reason: string) => conditionOf(one.status?.conditions, 'Ready')?.reason === reason;
    if (isNameTaken(one, source)) return !isKnown('NameTaken');
    if (broker !== undefined && !allows(broker, namespaceOf(one))) return !isKnown('BrokerNotAllowed');
    if (isInTheWay) return !isKnown('Conflict');
    return exchange === undefined || !isSettled(one);
  };
  return source.publishers
    .list()
    .filter((one) => one.spec.brokerRef.name === name && isWorthIt(one))
    .map(keyOfBound);
}
