import { expect, test } from '@jest/globals';
import { BrokerSecretError } from '../errors.ts';
import { accessOf } from './secret.ts';

const where = 'warren-system/rabbitmq';
const PEM = '-----BEGIN CERTIFICATE-----s3cret-----END CERTIFICATE-----';
const uri = 'amqp://user:s3cret@broker:5672/shop';

test('one account in the uri is enough for both', () => {
  const access = accessOf(where, { uri, 'management-uri': 'http://broker:15672' });
  expect(access).toMatchObject({ uri, vhost: 'shop', managementUrl: 'http://user:s3cret@broker:15672/' });
});

test.each([
  ['amqp://broker', '/'],
  ['amqp://broker/', '/'],
  ['amqp://broker/%2F', '/'],
  ['amqps://broker/a%2Fb', 'a/b'],
])('the virtual host of %s is %s', (url, vhost) => {
  expect(accessOf(where, { uri: url, 'management-uri': 'https://broker:15671' }).vhost).toBe(vhost);
});

test('another password is another fingerprint, which does not say it', () => {
  const one = accessOf(where, { uri, 'management-uri': 'http://broker' });
  const other = accessOf(where, { uri: uri.replace('s3cret', 'other'), 'management-uri': 'http://broker' });
  expect(one.fingerprint).not.toBe(other.fingerprint);
  expect(one.fingerprint).not.toContain('s3cret');
});

test.each([
  [undefined, 'there is no Secret warren-system/rabbitmq'],
  [{ 'management-uri': 'http://b' }, 'the Secret warren-system/rabbitmq has no key "uri"'],
  [
    { uri: 'user:s3cret', 'management-uri': 'http://b' },
    'the key "uri" of the Secret warren-system/rabbitmq must begin with amqp:// or amqps://',
  ],
  [
    { uri: ' s3cret ', 'management-uri': 'http://b' },
    'the key "uri" of the Secret warren-system/rabbitmq is not a URL',
  ],
  [
    { uri, 'management-uri': 'ftp://s3cret' },
    'the key "management-uri" of the Secret warren-system/rabbitmq must begin with http:// or https://',
  ],
  [
    { uri, 'management-uri': 'https://b', 'consumer-tls.crt': PEM },
    'the Secret warren-system/rabbitmq has consumer-tls.crt alone: a client certificate is consumer-tls.crt and consumer-tls.key together',
  ],
  [
    { uri, 'management-uri': 'https://b', 'consumer-tls.crt': PEM, 'consumer-tls.key': PEM },
    'the certificates of the Secret warren-system/rabbitmq cannot be read, or consumer-tls.key is of another one than consumer-tls.crt',
  ],
])('%j is refused in a sentence that quotes no value', (entries, sentence) => {
  expect(() => accessOf(where, entries as Record<string, string> | undefined)).toThrow(sentence);
  expect(sentence).not.toContain('s3cret');
});

test.each(['amqp://user:s3cret%zz@b', 'amqp://us%er:s3cret@b', 'amqp://user:s3cret@b/%E0%A4%A'])(
  'of %s it is said which key has a % that encodes nothing',
  (broken) => {
    expect(() => accessOf(where, { uri: broken, 'management-uri': 'http://b' })).toThrow(
      new BrokerSecretError(
        'the key "uri" of the Secret warren-system/rabbitmq has a % that encodes nothing: write %25 for it',
      ),
    );
  },
);
