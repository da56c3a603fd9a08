/** For tests: subscriptions, and brokers in any state. */
import fc from 'fast-check';
import type { BrokerCapabilities } from '../capabilities.ts';
import type { Binding, FoundQueue, Policy } from '../objects.ts';
import { policyOf } from '../policies.ts';
import type { EventSubscriptionSpec, Subscription } from '../spec.ts';
import { wantedTopology } from '../wanted.ts';
import type { ModelBroker } from './model-broker.ts';
import { plainSpec } from './plain-spec.ts';

export const capabilities: fc.Arbitrary<BrokerCapabilities> = fc.constantFrom(
  { delayedRetry: true, deliveryLimitByDefault: true },
  { delayedRetry: false, deliveryLimitByDefault: true },
  { delayedRetry: false, deliveryLimitByDefault: false },
);

const events = fc.uniqueArray(
  fc.constantFrom('OrderPlaced', 'OrderCompleted', 'PaymentApproved', 'payment.*', '#', 'user.created'),
  { minLength: 1 },
);

const optional = <T>(values: readonly [T, ...T[]]) => fc.constantFrom<T | undefined>(undefined, ...values);

/** Quorum and classic queues. */
const emptiedQueue: fc.Arbitrary<EventSubscriptionSpec['queue']> = fc
  .record({
    type: fc.constantFrom('quorum' as const, 'quorum' as const, 'classic' as const),
    maxLength: optional([10, 1_000]),
    maxAge: optional(['1h', '7d']),
    maxPriority: optional([1, 10]),
  })
  .map(({ type, maxLength, maxAge, maxPriority }) => ({
    type,
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(maxAge === undefined ? {} : { maxAge }),
    ...(maxPriority === undefined || type !== 'classic' ? {} : { maxPriority }),
  }));

const streamQueue: fc.Arbitrary<EventSubscriptionSpec['queue']> = fc
  .constantFrom('1h', '7d')
  .map((maxAge) => ({ type: 'stream', maxAge }));

export const spec: fc.Arbitrary<EventSubscriptionSpec> = fc
  .record({
    events,
    attempts: fc.integer({ min: 1, max: 6 }),
    initial: fc.constantFrom('100ms', '1s'),
    max: fc.constantFrom('1s', '3s', '1m'),
    maxAge: fc.constantFrom('1d', '14d'),
    ordering: fc.constantFrom('None' as const, 'Strict' as const),
    queue: fc.oneof({ weight: 3, arbitrary: emptiedQueue }, { weight: 1, arbitrary: streamQueue }),
  })
  .map(({ events, attempts, initial, max, maxAge, ordering, queue }) => ({
    ...plainSpec,
    events,
    delivery: {
      prefetch: 50,
      ordering,
      retry: { attempts, backoff: { initial, max } },
      deadLetter: { maxAge },
    },
    queue,
  }));

export const subscription: fc.Arbitrary<Subscription> = fc.record({
  namespace: fc.constantFrom('shop', 'sh-op'),
  name: fc.constantFrom('loyalty', 'dead', 'wait'),
  spec,
});

const policySettings = fc.constantFrom(
  { 'delivery-limit': 25 },
  { 'message-ttl': 86_400_000, 'delivery-limit': -1 },
  { 'delivery-limit': 30, 'max-length': 10 },
);

const queueNames = fc.constantFrom(
  'shop.loyalty',
  'shop.loyalty.dead',
  'shop.dead',
  'shop.wait',
  'a.b',
  'a+b',
  'x|y',
);

export const foreignPolicy: fc.Arbitrary<Policy> = fc.record({
  name: fc.constantFrom('ha', 'limits', 'warren', 'warren.mine'),
  pattern: fc.constantFrom('.*', '^shop\\.', '^other'),
  applyTo: fc.constantFrom('all', 'queues', 'classic_queues', 'streams', 'exchanges'),
  priority: fc.integer({ min: 0, max: 20 }),
  definition: fc.constant({ 'max-length': 7 }),
});

/** Ours, as a crash or a clumsy hand may have left them: a queue in two, in the wrong one, with other settings, with another pattern. */
export const ourPolicy: fc.Arbitrary<Policy> = fc
  .record({
    settings: policySettings,
    shard: fc.integer({ min: 0, max: 3 }),
    queues: fc.uniqueArray(queueNames, { minLength: 1, maxLength: 4 }),
    changed: fc.constantFrom(
      {},
      {},
      {},
      { priority: 3 },
      { definition: { 'max-length': 1 } },
      { pattern: '.*' },
      { applyTo: 'all' },
    ),
  })
  .map(({ settings, shard, queues, changed }) => ({ ...policyOf(settings, shard, queues), ...changed }));

export const policies = fc.uniqueArray(fc.oneof(ourPolicy, foreignPolicy), { selector: ({ name }) => name });

/** A broker on which some of what a subscription once wanted is there, and what other people made. */
export function broker(of: Subscription): fc.Arbitrary<ModelBroker> {
  const once = fc
    .tuple(spec, capabilities)
    .map(([before, can]) => wantedTopology({ ...of, spec: before }, can));
  return fc
    .record({
      wanted: once,
      keep: fc.infiniteStream(fc.boolean()),
      messages: fc.infiniteStream(fc.constantFrom(0, 0, 3, undefined)),
      stray: fc.subarray(['events', 'failed_events', 'foreign']),
      policies,
    })
    .map(({ wanted, keep, messages, stray, policies }) => {
      const kept = () => Boolean(keep.next().value);
      const exchanges = [
        ...wanted.exchanges.filter(kept).map((exchange) => ({ ...exchange, internal: false })),
        { name: 'foreign', type: 'fanout', durable: true, autoDelete: false, internal: false, arguments: {} },
      ];
      const queues: FoundQueue[] = [
        ...wanted.queues.filter(kept).map((queue) => ({
          ...queue,
          type: String(queue.arguments['x-queue-type']),
          messages: messages.next().value as number | undefined,
        })),
        { name: 'foreign', type: 'classic', durable: true, autoDelete: false, arguments: {}, messages: 5 },
      ];
      const possible = (binding: Binding) =>
        exchanges.some(({ name }) => name === binding.source) &&
        queues.some(({ name }) => name === binding.destination);
      const bindings = [
        ...wanted.bindings.filter(kept),
        ...stray.flatMap((source) =>
          [...queues.map(({ name }) => name)].map((destination): Binding => ({
            source,
            destination,
            destinationType: 'queue',
            routingKey: 'by.hand',
            arguments: {},
          })),
        ),
      ].filter(possible);
      return { exchanges, queues, bindings, policies };
    });
}
