/**
 * The own user on the broker of a subscription, or of a publisher. Pure.
 *
 *   shop.loyalty@orders#3f9a2c01             namespace.name @ virtual host # which of its users
 *   publisher.shop.user@orders#3f9a2c01      the same of an EventPublisher
 *
 * Users are the broker's and not the virtual host's, so the name says which one it is for. A user never gets another password: a
 * rotation is a new user, and the one before goes when nobody is connected as it. Which of them is in force, the binding says and
 * nothing else; so wherever an operator dies, the next one knows.
 */
import { randomBytes } from 'node:crypto';
import { patternOf } from '@warren/topology';
import type { ExchangeNames } from '@warren/topology';
import { hasPassword, percentDecoded } from '@warren/rabbitmq';
import type { Permission, TopicPermission, UserFound } from '@warren/rabbitmq';

/** Marks the users that Warren made: nobody else's is touched. It gives no right. */
export const USER_TAG = 'warren';

export interface UserName {
  /** An EventPublisher's; of an EventSubscription where it is not there. */
  kind?: 'publisher';
  namespace: string;
  name: string;
  vhost: string;
}

/** The same in one virtual host, or in any where it is not said. */
export type UserOf = Omit<UserName, 'vhost'> & Partial<Pick<UserName, 'vhost'>>;

export interface Credentials {
  user: string;
  password: string;
}

/** What a user may do on the virtual host. */
export interface Rights extends Permission {
  /** The only keys that it may publish to a topic exchange; every key where it is not there. */
  topic?: TopicPermission;
}

export function newUserName({ kind, namespace, name, vhost }: UserName): string {
  return `${kind === undefined ? '' : `${kind}.`}${namespace}.${name}@${vhost}#${randomBytes(4).toString('hex')}`;
}

/** Undefined for anybody else's user. Neither a namespace nor the name of one of ours has a dot. */
export function readUserName(user: string): UserName | undefined {
  const [, kind, namespace, name, vhost] =
    /^(publisher\.)?([a-z0-9-]+)\.([a-z0-9-]+)@(.*)#[0-9a-f]{8}$/s.exec(user) ?? [];
  if (namespace === undefined || name === undefined || vhost === undefined) return undefined;
  return { ...(kind === undefined ? {} : { kind: 'publisher' }), namespace, name, vhost };
}

/** The same for all users of one owner in a virtual host. */
export function ownerOf({ kind, namespace, name }: Omit<UserName, 'vhost'>): string {
  return `${kind ?? 'subscription'} ${namespace}/${name}`;
}

/** Without characters that a URL would change. */
export function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

/** Of a binding's uri, when they are those of a user of this owner. */
export function credentialsIn(uri: string | undefined, of: UserOf): Credentials | undefined {
  if (uri === undefined || !URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  const user = percentDecoded(url.username);
  const named = readUserName(user);
  if (named === undefined || ownerOf(named) !== ownerOf(of)) return undefined;
  return (of.vhost ?? named.vhost) === named.vhost
    ? { user, password: percentDecoded(url.password) }
    : undefined;
}

/** The broker's address with other credentials. */
export function uriFor(brokerUri: string, { user, password }: Credentials): string {
  const url = new URL(brokerUri);
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(password);
  return url.toString();
}

/**
 * Publishes events and dead letters, reads its queue, its partitions and what lies beside a stream, declares nothing.
 *
 * @param queue its main queue
 * @param ladder retries go through wait queues, or the place in a stream is written: what is put there goes through the
 *   default exchange, and a right to that is a right to put something into any queue
 */
export function permissionOf(queue: string, exchanges: ExchangeNames, ladder: boolean): Permission {
  const write = [exchanges.events, exchanges.failedEvents, ...(ladder ? ['amq.default'] : [])];
  const own = patternOf([queue]).slice(1, -1);
  return {
    configure: '^$',
    write: patternOf(write),
    read: `^${own}(\\.partition\\.[0-9]+|\\.offset|\\.retry)?$`,
  };
}

export type UserTrouble = 'missing' | 'password' | 'tags' | 'permission' | 'topic';

/** By user. */
export interface UsersFound {
  users: ReadonlyMap<string, UserFound>;
  permissions: ReadonlyMap<string, Permission>;
  topics: ReadonlyMap<string, readonly TopicPermission[]>;
}

/** What is other about a user than it should be; undefined for nothing. */
export function troubleWith(
  { user, password }: Credentials,
  wanted: Rights,
  found: UsersFound,
): UserTrouble | undefined {
  const there = found.users.get(user);
  if (there === undefined) return 'missing';
  if (hasPassword(there, password) === false) return 'password';
  if (there.tags.length !== 1 || there.tags[0] !== USER_TAG) return 'tags';
  const permission = found.permissions.get(user);
  const same =
    permission?.configure === wanted.configure &&
    permission.write === wanted.write &&
    permission.read === wanted.read;
  if (!same) return 'permission';
  return hasTopic(found.topics.get(user) ?? [], wanted.topic) ? undefined : 'topic';
}

/** That of another exchange gives nothing: only `events` may be written. */
function hasTopic(found: readonly TopicPermission[], wanted: TopicPermission | undefined): boolean {
  if (wanted === undefined) return found.length === 0;
  const same = found.find(({ exchange }) => exchange === wanted.exchange);
  return same?.write === wanted.write && same.read === wanted.read;
}
