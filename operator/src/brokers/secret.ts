/** What an EventBroker's Secret says: where the virtual host is, for consumers and for the operator. */
import { createHash } from 'node:crypto';
import { BrokerSecretError } from '../errors.ts';

export interface BrokerAccess {
  /** `amqp://user:password@host:port/vhost`: handed to consumers in their binding. */
  uri: string;
  /** `http://user:password@host:port` */
  managementUrl: string;
  vhost: string;
  /** Changes when anything above does. Says nothing about it. */
  fingerprint: string;
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
  const access = { uri: uri.toString(), managementUrl: management.toString(), vhost };
  const fingerprint = createHash('sha256').update(JSON.stringify(access)).digest('hex');
  return { ...access, fingerprint };
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
  return url;
}
