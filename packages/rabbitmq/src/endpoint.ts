/**
 * Where a broker is, taken apart once: what amqplib needs, and a form that is safe to show.
 * amqplib decodes percent-encoded credentials as Latin-1; they are UTF-8, so they are decoded here.
 */
import type { Options } from 'amqplib';
import { BrokerConnectionError, errorText, type BrokerConnectionCode } from './errors.ts';
import { distrustOf } from './tls.ts';

export interface Endpoint {
  connect: Options.Connect;
  /** `amqp://host:port/vhost`, without credentials. */
  shown: string;
  /** Takes the credentials out of a text that came from elsewhere. */
  scrub(text: string): string;
}

/** A text in which `amqp://user:secret@host` has become `amqp://***@host`; the secret may have an `@` in it. */
export function withoutCredentials(text: string): string {
  return text.replace(/:\/\/[^\s/]+@/g, '://***@');
}

/** A bare % encodes nothing: then it is as it was written. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Throws BrokerConnectionError, never the text of the URL. */
export function parseEndpoint(text: string, heartbeatSeconds: number): Endpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') || url.hostname === '') {
    throw new BrokerConnectionError(
      'WARREN_BROKER_UNREACHABLE',
      'the broker URL is not of the form amqp://user:password@host:port/vhost (or amqps://)',
    );
  }
  const secure = url.protocol === 'amqps:';
  const port = url.port === '' ? (secure ? 5671 : 5672) : Number(url.port);
  const given = url.username !== '' || url.password !== '';
  const password = given ? percentDecoded(url.password) : 'guest';
  const heartbeat = url.searchParams.get('heartbeat');
  const vhost = url.pathname.slice(1);
  return {
    connect: {
      protocol: secure ? 'amqps' : 'amqp',
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port,
      username: given ? percentDecoded(url.username) : 'guest',
      password,
      vhost, // amqplib decodes this one, and reads '' as '/'
      heartbeat: heartbeat === null ? heartbeatSeconds : Number(heartbeat),
    },
    shown: `${url.protocol}//${url.hostname}:${port}/${vhost}`,
    scrub(message) {
      const hidden = withoutCredentials(message);
      return password.length < 4 || password === 'guest' ? hidden : hidden.replaceAll(password, '***');
    },
  };
}

/** What amqplib threw while connecting or lost a connection with, as one of our codes and a clean sentence. */
export function connectionError(cause: unknown, endpoint: Endpoint | undefined): BrokerConnectionError {
  if (cause instanceof BrokerConnectionError) return cause;
  const raw = errorText(cause);
  const text = endpoint?.scrub(raw) ?? withoutCredentials(raw);
  const where = endpoint?.shown ?? 'the broker';
  const say = (code: BrokerConnectionCode, sentence: string): BrokerConnectionError =>
    new BrokerConnectionError(code, `${where}: ${sentence}`);
  const distrust = distrustOf(cause);
  if (distrust !== undefined) return say('WARREN_BROKER_UNTRUSTED', distrust);
  if (/ACCESS[-_]REFUSED/.test(text)) {
    return say('WARREN_BROKER_UNAUTHORIZED', 'the broker refuses this user or password');
  }
  if (/NOT_ALLOWED|Expected ConnectionOpenOk; got <ConnectionClose/.test(text)) {
    return say(
      'WARREN_BROKER_FORBIDDEN',
      'the broker does not open this virtual host: it is missing, or not allowed for this user',
    );
  }
  return say('WARREN_BROKER_UNREACHABLE', text);
}
