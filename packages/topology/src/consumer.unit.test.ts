import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bindingEntries, consumerSettings } from './consumer.ts';
import { delayAfterFailure, retryDelays } from './retry.ts';
import { capabilities, subscription } from './testing/arbitraries.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { wantedTopology } from './wanted.ts';

const loyalty = { namespace: 'shop', name: 'loyalty', spec: plainSpec };
const modern = { delayedRetry: true, deliveryLimitByDefault: true };
const older = { delayedRetry: false, deliveryLimitByDefault: true };

describe('the delays between attempts', () => {
  test('grow by the first one, up to the longest', () => {
    const retry = { attempts: 7, backoff: { initial: '500ms', max: '2s' } };
    expect(retryDelays(retry)).toEqual([500, 1_000, 1_500, 2_000]);
  });

  test('are those of the broker, failure by failure', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 5_000 }),
        fc.integer({ min: 0, max: 50_000 }),
        (attempts, initialMs, more) => {
          const maxMs = initialMs + more;
          const delays = retryDelays({ attempts, backoff: { initial: `${initialMs}ms`, max: `${maxMs}ms` } });
          // After the n-th failure a message goes to the n-th wait queue, or to the last one.
          for (let failure = 1; failure < attempts; failure += 1)
            expect(delays[Math.min(failure, delays.length) - 1]).toBe(
              delayAfterFailure(failure, initialMs, maxMs),
            );
        },
      ),
    );
  });

  test('are never none, so that a ladder has a step even with one attempt', () => {
    expect(retryDelays({ attempts: 1, backoff: { initial: '1s', max: '1m' } })).toEqual([1_000]);
  });
});

describe("a consumer's settings", () => {
  test('leave the waiting to a broker that can', () => {
    expect(consumerSettings(loyalty, modern)).toEqual({
      subscription: 'shop/loyalty',
      queue: 'shop.loyalty',
      prefetch: 50,
      attempts: 5,
      deadLetter: { exchange: 'failed_events', routingKey: 'shop.loyalty' },
      retry: { mode: 'broker' },
      strict: false,
    });
  });

  test('name the wait queues where the broker cannot', () => {
    expect(consumerSettings(loyalty, older).retry).toEqual({
      mode: 'ladder',
      waits: [1_000, 2_000, 3_000, 4_000].map((delayMs) => ({
        queue: `shop.loyalty.wait.${delayMs}`,
        delayMs,
      })),
    });
  });

  test('name only queues that the topology has', () => {
    fc.assert(
      fc.property(subscription, capabilities, (one, can) => {
        const { queue, retry, stream } = consumerSettings(one, can);
        const waits = retry.mode === 'ladder' ? retry.waits.map((wait) => wait.queue) : [];
        const beside = stream === undefined ? [] : [stream.offsets, stream.retries];
        const queues = wantedTopology(one, can).queues.map(({ name }) => name);
        expect(queues).toEqual([`${queue}.dead`, ...waits, ...beside, queue]);
      }),
    );
  });
});

describe('the entries of a binding', () => {
  const uri = 'amqp://user:password@broker:5672/shop';

  test('are what packages/service reads', () => {
    expect(bindingEntries(loyalty, modern, uri)).toEqual({
      type: 'rabbitmq',
      provider: 'warren',
      uri,
      subscription: 'shop/loyalty',
      queue: 'shop.loyalty',
      prefetch: '50',
      attempts: '5',
      'events-exchange': 'events',
      ordering: 'None',
      'retry-mode': 'broker',
      'dead-letter-exchange': 'failed_events',
      'dead-letter-routing-key': 'shop.loyalty',
    });
  });

  test('carry the certificates, and the exchanges that the broker has', () => {
    const tls = { 'ca.crt': 'a', 'tls.crt': 'b', 'tls.key': 'c' };
    const can = { ...modern, exchanges: { events: 'facts', failedEvents: 'failed_facts' } };
    expect(bindingEntries(loyalty, can, uri, tls)).toMatchObject({
      ...tls,
      'events-exchange': 'facts',
      'dead-letter-exchange': 'failed_facts',
    });
  });

  test('carry the ladder as JSON', () => {
    const entries = bindingEntries(loyalty, older, uri);
    expect(entries['retry-mode']).toBe('ladder');
    expect(JSON.parse(entries['retry-waits']!)).toContainEqual({
      queue: 'shop.loyalty.wait.4000',
      delayMs: 4_000,
    });
  });
});
