/**
 * The credentials that a binding hands to a service: the broker's own, or those of a user of its own.
 *
 * What the binding says is in force, and is kept: only where it names no user of its owner, or the time has come for
 * another one, a new user is made. Before that the binding is read once more from where it lies, for what is in memory may be
 * older than our own last write.
 */
import { exchangesOf, namesOf, parseDuration, retryModeOf } from '@warren/topology';
import type { BrokerConnection } from '../brokers/connection.ts';
import { ROTATE_ANNOTATION } from '../resources.ts';
import type { BoundResource, SubscriptionResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { namespaceOf } from '../subscriptions/claims.ts';
import type { CredentialsPolicy } from './broker-users.ts';
import { credentialsIn, permissionOf, uriFor } from './user.ts';
import type { Credentials, Rights, UserName, UserOf } from './user.ts';

/** Keys of a binding, beside `uri`: when its user was made (ISO 8601), and for which value of the annotation. */
const MADE = 'credentials-made';
const ROTATION = 'credentials-rotation';

export type Entries = Readonly<Record<string, string>>;

interface Handout {
  /** With the credentials: a secret. */
  uri: string;
  /** Further entries of the binding. */
  entries: Record<string, string>;
}

/** Whose binding it is, and what its user is called and may do. */
export interface UserOwner {
  resource: BoundResource;
  of: UserName;
  rights: Rights;
}

/**
 * Writes the binding: `settings` says what is in it besides the credentials.
 *
 * @throws {ConsumerUserError} where users cannot be made; the binding stays as it is
 */
export async function handOut(
  owner: UserOwner,
  settings: (uri: string) => Entries,
  { connection, source, signal }: HandoutContext,
): Promise<void> {
  const { resource, of } = owner;
  const { uri, entries } = await credentialsFor(owner, { connection, source, signal });
  await source.writeBinding(resource, bindingNameOf(resource), { ...settings(uri), ...entries });
  connection.users.handedOut(of);
}

/** The Secret that a service mounts. */
export function bindingNameOf({ metadata }: Pick<BoundResource, 'metadata'>): string {
  return `${metadata.name}-binding`;
}

interface HandoutContext {
  connection: BrokerConnection;
  source: Pick<ResourceSource, 'readBinding' | 'writeBinding'>;
  signal: AbortSignal;
}

async function credentialsFor(
  { resource, of, rights }: UserOwner,
  { connection, source, signal }: HandoutContext,
): Promise<Handout> {
  const { users, uri } = connection;
  if (!users.arePerOwner) return { uri, entries: {} };
  const bindingName = bindingNameOf(resource);
  const keep = async (binding: Entries | undefined): Promise<Handout | undefined> => {
    const credentials = inForce(binding, of);
    if (credentials === undefined || isDue(resource, binding, credentials, users.policy)) return undefined;
    await users.putRight(credentials, rights, signal);
    return handout(uri, credentials, binding?.[MADE], binding?.[ROTATION]);
  };
  const kept =
    (await keep(await source.readBinding(resource, bindingName))) ??
    (await keep(await source.readBinding(resource, bindingName, { fresh: true })));
  if (kept !== undefined) return kept;
  const made = await users.make(of, rights, signal);
  const rotation = resource.metadata.annotations?.[ROTATE_ANNOTATION];
  return handout(uri, made, new Date().toISOString(), rotation);
}

/** The credentials of its own that a binding names. */
export function inForce(binding: Entries | undefined, of: UserOf): Credentials | undefined {
  return credentialsIn(binding?.['uri'], of);
}

/** Whether somebody asks for other credentials, or they are too old. */
export function isDue(
  { metadata }: Pick<BoundResource, 'metadata'>,
  binding: Entries | undefined,
  { user }: Credentials,
  { maxAge }: CredentialsPolicy,
  now = Date.now(),
): boolean {
  const asked = metadata.annotations?.[ROTATE_ANNOTATION];
  if (asked !== undefined && asked !== binding?.[ROTATION]) return true;
  if (maxAge === undefined) return false;
  const age = now - Date.parse(binding?.[MADE] ?? '');
  // Not all at once: what was made together is rotated over the last tenth of its time.
  const share = 0.9 + (0.1 * Number.parseInt(user.slice(-2), 16)) / 256;
  return !(age < parseDuration(maxAge) * share);
}

/** A subscription's own user. */
export function consumerOf(
  resource: SubscriptionResource,
  { users, capabilities }: Pick<BrokerConnection, 'users' | 'capabilities'>,
): UserOwner {
  const { queue } = namesOf(namespaceOf(resource), resource.metadata.name);
  const { spec } = resource;
  const putsIntoQueues = spec.queue.type === 'stream' || retryModeOf(spec, capabilities) === 'ladder';
  return {
    resource,
    of: { namespace: namespaceOf(resource), name: resource.metadata.name, vhost: users.vhost },
    rights: permissionOf(queue, exchangesOf(capabilities), putsIntoQueues),
  };
}

function handout(
  uri: string,
  credentials: Credentials,
  made: string | undefined,
  rotation: string | undefined,
): Handout {
  return {
    uri: uriFor(uri, credentials),
    entries: {
      ...(made === undefined ? {} : { [MADE]: made }),
      ...(rotation === undefined ? {} : { [ROTATION]: rotation }),
    },
  };
}
