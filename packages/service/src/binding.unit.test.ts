import { describe, expect, test } from '@jest/globals';
import { isSameBroker, parseBinding, parsePublisherBinding } from './binding.ts';
import { BindingError } from './errors.ts';

const files = {
  type: 'rabbitmq\n',
  provider: 'warren',
  uri: 'amqp://user:hunter2@host/vhost',
  subscription: 'shop/loyalty',
  queue: 'shop.loyalty',
  prefetch: '50',
  attempts: '5',
  ordering: 'Strict',
  'retry-mode': 'broker',
  'dead-letter-exchange': 'failed_events',
  'dead-letter-routing-key': 'shop.loyalty',
};

describe('a binding', () => {
  test('becomes the settings of a consumer', () => {
    expect(parseBinding('loyalty', files)).toMatchObject({
      broker: { uri: files.uri, exchange: 'events' },
      settings: {
        subscription: 'shop/loyalty',
        queue: 'shop.loyalty',
        prefetch: 50,
        attempts: 5,
        strict: true,
        retry: { mode: 'broker' },
        deadLetter: { exchange: 'failed_events', routingKey: 'shop.loyalty' },
      },
    });
  });

  test('of a publisher has the broker alone, and changes with that alone', () => {
    const { type, uri } = files;
    const mine = { type, provider: 'warren', uri, publisher: 'shop/user', 'events-exchange': 'facts' };
    const { broker, fingerprint } = parsePublisherBinding('user', mine);
    expect(broker).toEqual({ uri, exchange: 'facts' });
    expect(parsePublisherBinding('user', { ...mine, 'credentials-made': 'x' }).fingerprint).toBe(fingerprint);
    expect(parsePublisherBinding('user', { ...mine, uri: 'amqp://other' }).fingerprint).not.toBe(fingerprint);
    expect(() => parsePublisherBinding('user', { type })).toThrow(
      'The binding of user cannot be used: uri is missing.',
    );
  });

  test('carries the certificates and the exchange of its broker', () => {
    const tls = { 'ca.crt': 'a', 'tls.crt': 'b', 'tls.key': 'c' };
    const { broker } = parseBinding('loyalty', { ...files, ...tls, 'events-exchange': 'facts' });
    expect(broker).toEqual({ uri: files.uri, tls: { ca: 'a', cert: 'b', key: 'c' }, exchange: 'facts' });
    expect(isSameBroker(broker, { ...broker, exchange: 'others' })).toBe(true);
    expect(isSameBroker(broker, { ...broker, tls: { ca: 'another' } })).toBe(false);
  });

  test('carries the wait queues of brokers without delayed retry', () => {
    const waits = [{ queue: 'shop.loyalty.wait.1000', delayMs: 1000 }];
    const ladder = { ...files, 'retry-mode': 'ladder', 'retry-waits': JSON.stringify(waits) };
    expect(parseBinding('loyalty', ladder).settings.retry).toEqual({ mode: 'ladder', waits });
    expect(() => parseBinding('loyalty', { ...ladder, 'retry-waits': 'soon' })).toThrow(
      /retry-waits: must be/,
    );
    // A subscription with one attempt waits for nothing.
    const once = parseBinding('loyalty', { ...ladder, attempts: '1', 'retry-waits': '[]' });
    expect(once.settings.retry).toEqual({ mode: 'ladder', waits: [] });
  });

  test('carries what lies beside a stream, and says what is missing of it', () => {
    const stream = {
      ...files,
      'queue-type': 'stream',
      'stream-offsets': 'shop.loyalty.offset',
      'stream-retries': 'shop.loyalty.retry',
      'stream-start-from': '2026-11-25T10:00:00Z',
    };
    expect(parseBinding('loyalty', stream).settings.stream).toEqual({
      offsets: 'shop.loyalty.offset',
      retries: 'shop.loyalty.retry',
      startFrom: '2026-11-25T10:00:00Z',
    });
    expect(parseBinding('loyalty', files).settings.stream).toBeUndefined();
    const { 'stream-retries': _, ...incomplete } = stream;
    expect(() => parseBinding('loyalty', incomplete)).toThrow(/stream-retries is missing/);
    expect(() => parseBinding('loyalty', { ...stream, 'stream-start-from': 'soon' })).toThrow(
      /stream-start-from: must be first or a time/,
    );
  });

  test('has another fingerprint when anything changes, and no value in it', () => {
    const one = parseBinding('loyalty', files);
    const two = parseBinding('loyalty', { ...files, prefetch: '51' });
    expect(one.fingerprint).toBe(parseBinding('loyalty', { ...files, prefetch: '50 \n' }).fingerprint);
    expect(two.fingerprint).not.toBe(one.fingerprint);
    expect(one.fingerprint).not.toContain('hunter2');
  });

  test('that cannot be used names its keys and never its values', () => {
    const { queue: _, ...incomplete } = { ...files, uri: 'http://user:hunter2@host', prefetch: 'many' };
    const read = () => parseBinding('loyalty', incomplete);
    expect(read).toThrow(BindingError);
    expect(read).toThrow(/uri: must begin/);
    expect(read).toThrow(/prefetch: /);
    expect(read).toThrow(/queue is missing/);
    expect(read).not.toThrow(/hunter2/);
  });
});
