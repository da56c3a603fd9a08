import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bindingEntries, consumerSettings } from './consumer.ts';
import { difference } from './difference.ts';
import { inventoryOf } from './inventory.ts';
import { migrationOf } from './migration.ts';
import type { WantedTopology } from './objects.ts';
import { policyPlan } from './policy-plan.ts';
import { removal } from './removal.ts';
import type { EventSubscriptionSpec } from './spec.ts';
import { capabilities as anyCapabilities, subscription } from './testing/arbitraries.ts';
import { plainSpec } from './testing/plain-spec.ts';
import { applyAll, emptyBroker } from './testing/model-broker.ts';
import { ModelFlow } from './testing/model-flow.ts';
import { wantedTopology } from './wanted.ts';

const modern = { delayedRetry: true, deliveryLimitByDefault: true };
const one = (queue: EventSubscriptionSpec['queue'], more: Partial<EventSubscriptionSpec> = {}) => ({
  namespace: 'shop',
  name: 'loyalty',
  spec: { ...plainSpec, queue, ...more },
});
const wanted = (queue: EventSubscriptionSpec['queue'], more?: Partial<EventSubscriptionSpec>) =>
  wantedTopology(one(queue, more), modern);
const settingsOf = ({ memberships }: WantedTopology, queue: string) =>
  memberships.find((each) => each.queue === queue)?.settings;

describe('a quorum queue', () => {
  test('dead-letters what waits too long, by policy, so that the age can be changed', () => {
    const aged = wanted({ type: 'quorum', maxAge: '2h' });
    expect(settingsOf(aged, 'shop.loyalty')).toMatchObject({ 'message-ttl': 7_200_000 });
    expect(aged.queues.at(-1)?.arguments).toMatchObject({ 'x-dead-letter-strategy': 'at-least-once' });
  });
});

describe('a classic queue', () => {
  const classic = wanted({ type: 'classic', maxLength: 10, maxAge: '1m', maxPriority: 5 });

  test('has what RabbitMQ takes of one: no at-least-once dead letters, but priorities', () => {
    expect(classic.queues.at(-1)).toEqual({
      name: 'shop.loyalty',
      durable: true,
      autoDelete: false,
      arguments: {
        'x-queue-type': 'classic',
        'x-dead-letter-exchange': 'failed_events',
        'x-dead-letter-routing-key': 'shop.loyalty',
        'x-overflow': 'reject-publish',
        'x-max-priority': 5,
      },
    });
    expect(settingsOf(classic, 'shop.loyalty')).toEqual({ 'max-length': 10, 'message-ttl': 60_000 });
  });

  test('leaves retries to the ladder, whatever the broker can', () => {
    expect(consumerSettings(one({ type: 'classic' }), modern).retry).toMatchObject({ mode: 'ladder' });
    expect(classic.names.waitQueues).toHaveLength(4);
  });

  test('is in no policy when nothing is tuned', () => {
    expect(wanted({ type: 'classic' }).memberships.at(-1)).toEqual({
      queue: 'shop.loyalty',
      settings: undefined,
    });
  });
});

describe('a stream', () => {
  const stream = wanted({ type: 'stream', maxAge: '7d' });

  test('is kept by age, and has a place and a queue of retries beside it', () => {
    expect(stream.queues.at(-1)?.arguments).toEqual({ 'x-queue-type': 'stream' });
    expect(settingsOf(stream, 'shop.loyalty')).toEqual({ 'max-age': '604800s' });
    expect(stream.queues.find(({ name }) => name === 'shop.loyalty.offset')?.arguments).toEqual({
      'x-queue-type': 'quorum',
      'x-single-active-consumer': true,
    });
    expect(settingsOf(stream, 'shop.loyalty.offset')).toEqual({ 'delivery-limit': -1 });
    expect(settingsOf(stream, 'shop.loyalty.retry')).toEqual({ 'delivery-limit': 25 });
  });

  test('is not written to by retries: they go back to their own queue', () => {
    for (const wait of stream.names.waitQueues)
      expect(stream.queues.find(({ name }) => name === wait)?.arguments).toMatchObject({
        'x-dead-letter-routing-key': 'shop.loyalty.retry',
      });
  });

  test('that keeps an order needs no wait queues: its reader waits in the place', () => {
    const delivery = { ...plainSpec.delivery, ordering: 'Strict' as const };
    const strict = one({ type: 'stream', maxAge: '7d' }, { delivery });
    expect(consumerSettings(strict, modern).retry).toMatchObject({ mode: 'in-place' });
    const { names, queues } = wantedTopology(strict, modern);
    expect(names.waitQueues).toEqual([]);
    // What the ladder of an earlier ordering holds goes back to it.
    expect(queues.map(({ name }) => name)).toContain('shop.loyalty.retry');
  });

  test.each([
    ['Now', 'first'],
    ['Earliest', 'first'],
    ['2026-11-25T10:00:00Z', '2026-11-25T10:00:00Z'],
  ])('that is to be read from %s is read from %s', (startFrom, read) => {
    expect(bindingEntries(one({ type: 'stream' }, { startFrom }), modern, 'amqp://b')).toMatchObject({
      'queue-type': 'stream',
      'stream-offsets': 'shop.loyalty.offset',
      'stream-retries': 'shop.loyalty.retry',
      'stream-start-from': read,
      'retry-mode': 'ladder',
    });
  });

  test('goes with all that is beside it', () => {
    const { memberships, steps } = difference(stream, inventoryOf(emptyBroker));
    const broker = applyAll(emptyBroker, [...policyPlan(memberships, []), ...steps]);
    const gone = removal({
      namespace: 'shop',
      name: 'loyalty',
      deletionPolicy: 'Delete',
      found: inventoryOf(broker),
      settled: true,
    });
    const after = applyAll(broker, [...gone.steps, ...policyPlan(gone.memberships, broker.policies)]);
    expect({ queues: after.queues, policies: after.policies }).toEqual({ queues: [], policies: [] });
  });
});

describe('a message that its consumer holds between its attempts', () => {
  const held = (ordering: EventSubscriptionSpec['delivery']['ordering'], attempts: number, max: string) => {
    const retry = { attempts, backoff: { initial: max, max } };
    return { delivery: { ...plainSpec.delivery, ordering, retry } };
  };
  const timeoutOf = (type: EventSubscriptionSpec['queue'], more: Partial<EventSubscriptionSpec>) => {
    const of = wanted(type, more);
    return of.memberships.at(-1)?.settings?.['consumer-timeout'];
  };

  test.each([{ type: 'quorum' }, { type: 'classic' }, { type: 'stream', maxAge: '7d' }] as const)(
    'is not taken from it by the broker: %j',
    (queue) => {
      expect(timeoutOf(queue, held('Strict', 4, '1h'))).toBe(3 * 3_600_000 + 1_800_000);
      expect(timeoutOf(queue, held('Strict', 5, '5m'))).toBe(4 * 300_000 + 1_800_000);
    },
  );

  test('lies in a partition: each has the time', () => {
    expect(timeoutOf({ type: 'quorum' }, held('PerKey', 2, '24h'))).toBe(86_400_000 + 1_800_000);
  });

  test('for no more than a quarter of an hour, or not at all, leaves the broker its own limit', () => {
    expect(timeoutOf({ type: 'quorum' }, held('Strict', 4, '5m'))).toBeUndefined();
    expect(timeoutOf({ type: 'quorum' }, held('None', 30, '24h'))).toBeUndefined();
  });
});

describe('a changed type', () => {
  const types: EventSubscriptionSpec['queue'][] = [
    { type: 'quorum', maxLength: 10 },
    { type: 'classic', maxPriority: 5 },
    { type: 'classic', maxPriority: 5, maxAge: '1h' },
    { type: 'stream', maxAge: '1d' },
  ];
  const changes = types.flatMap((from) =>
    types.filter((to) => from.type !== 'stream' && from !== to).map((to) => [from, to] as const),
  );

  test.each(changes)('from %j to %j loses nothing, and ends as if it had been made so', (from, to) => {
    const first = difference(wanted(from), inventoryOf(emptyBroker));
    const flow = new ModelFlow(applyAll(emptyBroker, [...policyPlan(first.memberships, []), ...first.steps]));
    let id = 0;
    const publish = () => expect(flow.publish('events', 'order.placed', ++id)).toHaveLength(1);
    const options = { capabilities: modern, settled: () => true, drained: true };
    publish();
    for (let passes = 0; ; passes += 1) {
      expect(passes).toBeLessThan(50);
      const migration = migrationOf(wanted(to), inventoryOf(flow.found()), options);
      if (migration === undefined) break;
      for (const step of policyPlan(migration.memberships, flow.broker.policies)) flow.make(step);
      for (const step of migration.steps) {
        const goesOn = flow.make(step);
        if (passes < 20) publish();
        if (!goesOn) break;
      }
    }
    const { memberships, steps } = difference(wanted(to), inventoryOf(flow.found()));
    for (const step of [...policyPlan(memberships, flow.broker.policies), ...steps]) flow.make(step);
    const left = difference(wanted(to), inventoryOf(flow.found()));
    expect([...left.blocked, ...left.memberships, ...left.steps]).toEqual([]);
    expect(flow.lost).toEqual([]);
    expect([...flow.in('shop.loyalty')].sort((a, b) => a - b)).toEqual(
      Array.from({ length: id }, (_, index) => index + 1),
    );
  });

  test('from a stream is not to be had: what was read of it nobody but its reader knows', () => {
    const { memberships, steps } = difference(
      wanted({ type: 'stream', maxAge: '1d' }),
      inventoryOf(emptyBroker),
    );
    const found = inventoryOf(applyAll(emptyBroker, [...policyPlan(memberships, []), ...steps]));
    expect(
      migrationOf(wanted({ type: 'quorum' }), found, {
        capabilities: modern,
        settled: () => true,
        drained: true,
      }),
    ).toBe(undefined);
    expect(difference(wanted({ type: 'quorum' }), found).blocked).toEqual([
      'queue shop.loyalty is of type stream and should be quorum',
    ]);
  });
});

test('nothing is dead-lettered to the stream, and every dead letter has a queue', () => {
  fc.assert(
    fc.property(subscription, anyCapabilities, (any, can) => {
      const { queues, bindings, names } = wantedTopology(any, can);
      const there = new Set(queues.map(({ name }) => name));
      for (const { name, arguments: args } of queues) {
        const [exchange, key] = [args['x-dead-letter-exchange'], args['x-dead-letter-routing-key']];
        if (exchange === '') expect(there).toContain(key);
        if (exchange === 'failed_events')
          expect(bindings).toContainEqual(
            expect.objectContaining({ destination: names.deadLetterQueue, routingKey: key }),
          );
        if (name === names.queue && any.spec.queue.type !== 'stream') expect(exchange).toBe('failed_events');
      }
    }),
  );
});
