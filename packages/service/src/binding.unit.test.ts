import { describe, expect, test } from '@jest/globals';
import { parseBinding } from './binding.ts';
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
      uri: files.uri,
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
