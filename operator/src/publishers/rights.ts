/** What an EventPublisher's user may do, and what its binding says. Pure. */
import { exchangesOf, patternOf, routingKeysOf } from '@warren/topology';
import type { BrokerCapabilities, ExchangeNames, TlsEntries } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import type { PublisherResource, PublisherSpec } from '../resources.ts';
import { keyOfBound, namespaceOf } from '../subscriptions/claims.ts';
import type { UserOwner } from '../users/handout.ts';
import type { Rights } from '../users/user.ts';

const NOTHING = '^$';

/** Publishes to the exchange of all events, by the keys of its events where it names some; reads and declares nothing. */
export function publisherRights({ events }: Pick<PublisherSpec, 'events'>, exchanges: ExchangeNames): Rights {
  const permission = { configure: NOTHING, write: patternOf([exchanges.events]), read: NOTHING };
  if (events?.includes('#') !== false) return permission;
  const write = keysPattern(routingKeysOf(events));
  return { ...permission, topic: { exchange: exchanges.events, write, read: NOTHING } };
}

/**
 * A regular expression for the keys that a topic exchange would take for one of these patterns. The broker, which compares it
 * with every message, tries every way to share a key among all `#`: with many of them it would do so for hours. So what has more
 * than two (the CRD refuses it) gives no right.
 */
export function keysPattern(patterns: readonly string[]): string {
  const short = patterns.map(collapsed).filter((pattern) => !isEndless(pattern));
  return `^(${[...new Set(short)].sort().map(keyPattern).join('|')})$`;
}

/** `#.#` takes what `#` takes. */
function collapsed(pattern: string): string {
  return pattern.replaceAll(/(?<![^.])#(\.#)+(?![^.])/g, '#');
}

function isEndless(pattern: string): boolean {
  return pattern.split('#').length > 3;
}

const WORD = '[^.]+';
/** Before a word: the beginning, or a dot that is not there. */
const BORDER = '(^|(?!^)\\.)';

function keyPattern(pattern: string): string {
  const words = pattern.split('.').map((word) => (word === '*' ? WORD : word));
  if (!words.includes('#')) return words.join('\\.');
  // A `#` may stand for no word at all, and then has no dot beside it.
  return words.map((word) => (word === '#' ? `(${BORDER}${WORD})*` : `${BORDER}${word}`)).join('');
}

export function publisherOf(
  resource: PublisherResource,
  { users, capabilities }: Pick<BrokerConnection, 'users' | 'capabilities'>,
): UserOwner {
  return {
    resource,
    of: {
      kind: 'publisher',
      namespace: namespaceOf(resource),
      name: resource.metadata.name,
      vhost: users.vhost,
    },
    rights: publisherRights(resource.spec, exchangesOf(capabilities)),
  };
}

/** As a subscription's binding (topology's consumer.ts), without what is of consuming. @param uri makes it a secret */
export function publisherEntries(
  resource: PublisherResource,
  capabilities: BrokerCapabilities,
  uri: string,
  tls: TlsEntries,
): Record<string, string> {
  return {
    type: 'rabbitmq',
    provider: 'warren',
    uri,
    ...tls,
    publisher: keyOfBound(resource),
    'events-exchange': exchangesOf(capabilities).events,
  };
}
