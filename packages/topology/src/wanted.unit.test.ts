import { describe, expect, test } from '@jest/globals';
import { plainSpec } from './testing/plain-spec.ts';
import { routingKeysOf, wantedTopology } from './wanted.ts';

const modern = { delayedRetry: true, deliveryLimitByDefault: true };
const older = { delayedRetry: false, deliveryLimitByDefault: true };
const ancient = { delayedRetry: false, deliveryLimitByDefault: false };

const wanted = (spec = plainSpec, can = modern) =>
  wantedTopology({ namespace: 'shop', name: 'loyalty', spec }, can);

describe('a subscription wants', () => {
  test('both exchanges, durable and of type topic', () => {
    expect(wanted().exchanges).toEqual(
      ['events', 'failed_events'].map((name) => ({
        name,
        type: 'topic',
        durable: true,
        autoDelete: false,
        arguments: {},
      })),
    );
  });

  test('a quorum queue that dead-letters at least once, after a dead-letter queue', () => {
    expect(wanted().queues).toEqual([
      {
        name: 'shop.loyalty.dead',
        durable: true,
        autoDelete: false,
        arguments: { 'x-queue-type': 'quorum' },
      },
      {
        name: 'shop.loyalty',
        durable: true,
        autoDelete: false,
        arguments: {
          'x-queue-type': 'quorum',
          'x-dead-letter-exchange': 'failed_events',
          'x-dead-letter-routing-key': 'shop.loyalty',
          'x-dead-letter-strategy': 'at-least-once',
          'x-overflow': 'reject-publish',
        },
      },
    ]);
  });

  test('a single active consumer where order is strict', () => {
    const strict = wanted({ ...plainSpec, delivery: { ...plainSpec.delivery, ordering: 'Strict' } });
    expect(strict.queues.at(-1)?.arguments).toMatchObject({ 'x-single-active-consumer': true });
  });

  test('its events by their keys, patterns as they are, each once', () => {
    expect(routingKeysOf(['OrderPlaced', 'payment.*', 'order.placed', '#', 'UserEmailChanged'])).toEqual([
      'order.placed',
      'payment.*',
      '#',
      'user.email-changed',
    ]);
    expect(
      wanted().bindings.map(({ source, destination, routingKey }) => [source, destination, routingKey]),
    ).toEqual([
      ['failed_events', 'shop.loyalty.dead', 'shop.loyalty'],
      ['events', 'shop.loyalty', 'order.placed'],
    ]);
  });

  test('its retries delayed by a broker that can', () => {
    expect(wanted().memberships).toEqual([
      { queue: 'shop.loyalty.dead', settings: { 'message-ttl': 1_209_600_000, 'delivery-limit': -1 } },
      {
        queue: 'shop.loyalty',
        settings: {
          'delivery-limit': 25,
          'delayed-retry-type': 'all',
          'delayed-retry-min': 1_000,
          'delayed-retry-max': 60_000,
        },
      },
    ]);
  });

  test('wait queues that give back what they hold, where the broker cannot', () => {
    const { queues, memberships, names } = wanted(
      {
        ...plainSpec,
        delivery: { ...plainSpec.delivery, retry: { attempts: 4, backoff: { initial: '1s', max: '2s' } } },
      },
      older,
    );
    expect(names.waitQueues).toEqual(['shop.loyalty.wait.1000', 'shop.loyalty.wait.2000']);
    expect(queues.find(({ name }) => name === 'shop.loyalty.wait.2000')?.arguments).toEqual({
      'x-queue-type': 'quorum',
      'x-message-ttl': 2_000,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'shop.loyalty',
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    });
    expect(memberships[1]?.settings).toEqual({ 'delivery-limit': 24 });
  });

  test('no limit lifted on a broker that has none by default', () => {
    expect(wanted(plainSpec, ancient).memberships[0]?.settings).toEqual({ 'message-ttl': 1_209_600_000 });
  });

  test('a length by policy, so that it can be changed', () => {
    const long = wanted({ ...plainSpec, queue: { type: 'quorum', maxLength: 1_000_000 } });
    expect(long.memberships[1]?.settings).toMatchObject({ 'max-length': 1_000_000 });
  });
});
