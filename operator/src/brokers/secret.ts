/** What an EventBroker's Secret says: where the virtual host is, for consumers and for the operator. */
import { createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { TlsEntries } from '@warren/topology';
import { BrokerSecretError } from '../errors.ts';

export interface BrokerAccess {
  /** `amqp://user:password@host:port/vhost`: handed to consumers in their binding. */
  uri: string;
  /** `http://user:password@host:port` */
  managementUrl: string;
  vhost: string;
  /** For https and amqps. */
  tls?: Certificates;
  /** The same for consumers, in their binding: with a client certificate of theirs where the Secret has one, else with ours. */
  consumerTls?: Certificates;
  /** Changes when anything above does. Says nothing about it. */
  fingerprint: string;
}

/** As PEM. */
export interface Certificates {
  ca?: string;
  cert?: string;
  key?: string;
}

/** Throws BrokerSecretError with a sentence that quotes no value. */
export function accessOf(where: string, entries: Record<string, string> | undefined): BrokerAccess {
  if (entries === undefined) throw new BrokerSecretError(`there is no Secret ${where}`);
  const uri = urlIn(where, entries, 'uri', ['amqp:', 'amqps:']);
  const management = urlIn(where, entries, 'management-uri', ['http:', 'https:']);
  const path = uri.pathname.replace(/^\//, '');
  const vhost = path === '' ? '/' : decodeURIComponent(path);
  if (management.username === '') {
    // One account is the usual case; the management API has no other way to know who asks.
    management.username = uri.username;
    management.password = uri.password;
  }
  const tls = tlsIn(where, entries, 'tls');
  const theirs = tlsIn(where, entries, 'consumer-tls');
  const consumerTls = theirs?.cert === undefined ? tls : theirs;
  const access = {
    uri: uri.toString(),
    managementUrl: management.toString(),
    vhost,
    ...(tls === undefined ? {} : { tls }),
    ...(consumerTls === undefined ? {} : { consumerTls }),
  };
  const fingerprint = createHash('sha256').update(JSON.stringify(access)).digest('hex');
  return { ...access, fingerprint };
}

/** The keys are those of cert-manager and of Secrets of type kubernetes.io/tls. */
function tlsIn(
  where: string,
  entries: Record<string, string>,
  pair: 'tls' | 'consumer-tls',
): Certificates | undefined {
  const [certName, keyName] = [`${pair}.crt`, `${pair}.key`];
  const ca = pemIn(where, entries, 'ca.crt');
  const cert = pemIn(where, entries, certName);
  const key = pemIn(where, entries, keyName);
  if ((cert === undefined) !== (key === undefined))
    throw new BrokerSecretError(
      `the Secret ${where} has ${cert === undefined ? keyName : certName} alone: a client certificate is ${certName} and ${keyName} together`,
    );
  if (ca === undefined && cert === undefined) return undefined;
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  try {
    createSecureContext(tls);
  } catch {
    throw new BrokerSecretError(
      `the certificates of the Secret ${where} cannot be read, or ${keyName} is of another one than ${certName}`,
    );
  }
  return tls;
}

function pemIn(where: string, entries: Record<string, string>, key: string): string | undefined {
  const text = entries[key]?.trim();
  if (text === undefined || text === '') return undefined;
  const blocks = text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
  if (blocks.length === 0)
    throw new BrokerSecretError(
      `the key "${key}" of the Secret ${where} is not PEM: it must begin with -----BEGIN`,
    );
  return `${text}\n`;
}

/** What a binding says of its consumer's certificates. */
export function tlsEntriesOf({ ca, cert, key }: Certificates = {}): TlsEntries {
  return {
    ...(ca === undefined ? {} : { 'ca.crt': ca }),
    ...(cert === undefined ? {} : { 'tls.crt': cert }),
    ...(key === undefined ? {} : { 'tls.key': key }),
  };
}

function urlIn(where: string, entries: Record<string, string>, key: string, protocols: string[]): URL {
  const text = entries[key];
  if (text === undefined || text.trim() === '')
    throw new BrokerSecretError(`the Secret ${where} has no key "${key}"`);
  if (!URL.canParse(text.trim()))
    throw new BrokerSecretError(`the key "${key}" of the Secret ${where} is not a URL`);
  const url = new URL(text.trim());
  if (!protocols.includes(url.protocol))
    throw new BrokerSecretError(
      `the key "${key}" of the Secret ${where} must begin with ${protocols.map((one) => `${one}//`).join(' or ')}`,
    );
  if (![url.username, url.password, url.pathname].every(isDecodable))
    throw new BrokerSecretError(
      `the key "${key}" of the Secret ${where} has a % that encodes nothing: write %25 for it`,
    );
  return url;
}

function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}
