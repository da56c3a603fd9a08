import { expect, jest, test } from '@jest/globals';
import { silentLog } from '@warren/controller';
import { ManagementError } from '@warren/rabbitmq';
import { capabilitiesOf } from '@warren/topology';
import type { FoundExchange } from '@warren/topology';
import { Registry } from 'prom-client';
import { createOperatorMetrics } from '../metrics.ts';
import type { BrokerResource } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import type { BrokerClient } from './client.ts';
import { BrokerRegistry } from './registry.ts';

/** A registry with one EventBroker, whose broker answers or does not. */
function oneBroker() {
  const resource: BrokerResource = {
    metadata: { name: 'default', uid: 'u' },
    spec: { secretRef: { namespace: 'a', name: 'b' } },
  };
  const source: Partial<ResourceSource> = {
    brokers: {
      get: (name) => (name === 'default' ? resource : undefined),
      list: () => [resource],
      revision: 0,
      onChange: () => undefined,
      changes: {
        name: 'none',
        synced: Promise.resolve(),
        start: () => undefined,
        stop: () => Promise.resolve(),
      },
    },
    readSecret: () => Promise.resolve({ uri: 'amqp://broker', 'management-uri': 'http://broker' }),
    clusterId: () => Promise.resolve('c'),
    writeBrokerStatus: () => {
      broker.tellings += 1;
      return Promise.resolve(true);
    },
    tell: () => undefined,
  };
  const broker = {
    answers: true,
    looks: 0,
    asks: 0,
    surveys: 0,
    tellings: 0,
    listing: (): unknown => undefined,
  };
  const exchanges: FoundExchange[] = [];
  const client: Partial<BrokerClient> = {
    overview: () => {
      broker.looks += 1;
      if (!broker.answers)
        return Promise.reject(new ManagementError('WARREN_BROKER_UNREACHABLE', 'GET overview', 'it is away'));
      return Promise.resolve({ version: '4.3.6', clusterName: 'c', exchangeTypes: [] });
    },
    alarms: () => Promise.resolve([]),
    users: () => Promise.resolve([]),
    permissions: () => Promise.resolve([]),
    topicPermissions: () => Promise.resolve([]),
    inventory: () => {
      broker.listing();
      return Promise.resolve({ exchanges, queues: [], bindings: [], policies: [], operatorPolicies: [] });
    },
    declareExchange: (exchange) => {
      exchanges.push({ ...exchange, internal: false });
      return Promise.resolve();
    },
    eventExchangeAt: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };
  const registry = new BrokerRegistry({
    source: source as ResourceSource,
    connect: () => client as BrokerClient,
    capabilitiesOf,
    metrics: createOperatorMetrics(new Registry(), () => []),
    log: silentLog,
  });
  registry.askAgain = () => (broker.asks += 1);
  registry.survey = () => {
    broker.surveys += 1;
    return Promise.resolve();
  };
  const reconcile = () => registry.reconcile('default', AbortSignal.timeout(5_000));
  return { registry, broker, reconcile };
}

test('a broker that comes up is looked at once, and compared with what is wanted', async () => {
  const { registry, broker, reconcile } = oneBroker();
  await reconcile();
  expect(registry.stateOf('default').state).toBe('up');
  expect(broker).toMatchObject({ looks: 1, asks: 0, surveys: 1 });
});

test('what a broker has is read ahead once, and nobody uses it before its virtual host is known to be ours', async () => {
  const { registry, broker, reconcile } = oneBroker();
  const states: string[] = [];
  const look = () => states.push(registry.stateOf('default').state);
  broker.listing = look;
  await registry.readAhead('default');
  look();
  await registry.tell('default');
  expect(broker.tellings).toBe(0);
  await reconcile();
  await registry.readAhead('default');
  look();
  // Read ahead, and to see whether the claim is ours.
  expect(states).toEqual(['unknown', 'unknown', 'unknown', 'up']);
  expect(broker.surveys).toBe(1);
});

test('a broker that cannot be read ahead is told of by its reconcile', async () => {
  const { registry, broker, reconcile } = oneBroker();
  broker.answers = false;
  await registry.readAhead('default');
  expect(registry.stateOf('default').state).toBe('unknown');
  expect(broker.tellings).toBe(0);
  await reconcile();
  expect(registry.stateOf('default')).toMatchObject({ state: 'down', reason: 'Unreachable' });
  expect(broker.tellings).toBe(1);
});

test('a broker that takes long to list its queues is listed less often', async () => {
  let now = 0;
  using _ = jest.spyOn(performance, 'now').mockImplementation(() => now);
  const { broker, reconcile } = oneBroker();
  expect(await reconcile()).toEqual({ requeueAfterMs: 15_000 });
  broker.listing = () => (now += 4_500);
  now += 60_000;
  expect(await reconcile()).toEqual({ requeueAfterMs: 18_000 });
});

test('a broker that its own reconcile finds down is asked again after the pause, and not before', async () => {
  const { broker, reconcile } = oneBroker();
  await reconcile();
  broker.answers = false;
  const { requeueAfterMs } = await reconcile();
  expect(requeueAfterMs).toBeLessThanOrEqual(1_000);
  expect(requeueAfterMs).toBeGreaterThanOrEqual(500);
  expect(broker).toMatchObject({ looks: 2, asks: 0 });
});

test('a broker that somebody else finds down is looked after by its own reconcile from then on', async () => {
  const { registry, broker, reconcile } = oneBroker();
  await reconcile();
  expect(await registry.verify('default')).toBe(true);
  expect(broker.asks).toBe(0);
  broker.answers = false;
  expect(await registry.verify('default')).toBe(false);
  expect(await registry.verify('default')).toBe(false);
  expect(broker).toMatchObject({ looks: 3, asks: 1 });
});
