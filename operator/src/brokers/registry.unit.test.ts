import { expect, jest, test } from '@jest/globals';
import { silentLog } from '@warren/controller';
import { ManagementError } from '@warren/rabbitmq';
import { capabilitiesOf } from '@warren/topology';
import type { FoundExchange } from '@warren/topology';
import { Registry } from 'prom-client';
import { createOperatorMetrics } from '../metrics.ts';
import type { BrokerResource, BrokerSpec } from '../resources.ts';
import type { ResourceSource } from '../source.ts';
import { markOf } from './claim.ts';
import type { BrokerClient } from './client.ts';
import { BrokerRegistry } from './registry.ts';

/** A registry with one EventBroker, whose broker answers or does not. */
function oneBroker(spec: Partial<BrokerSpec> = {}, namespace?: string) {
  const resource: BrokerResource = {
    metadata: { name: 'default', uid: 'u' },
    spec: { secretRef: { namespace: 'a', name: 'b' }, ...spec },
  };
  const source: Partial<ResourceSource> = {
    ...(namespace === undefined ? {} : { namespace }),
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
    readSecret: () =>
      broker.isReadable
        ? Promise.resolve({ uri: 'amqp://broker', 'management-uri': 'http://broker' })
        : Promise.reject(Object.assign(new Error('forbidden'), { code: 'WARREN_K8S_FORBIDDEN' })),
    clusterId: () => Promise.resolve('c'),
    writeBrokerStatus: () => {
      broker.tellings += 1;
      return Promise.resolve(true);
    },
    tell: () => undefined,
  };
  const broker = {
    answers: true,
    isReadable: true,
    users: [] as string[],
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
    users: () =>
      Promise.resolve(
        broker.users.map((name) => ({ name, passwordHash: '', algorithm: undefined, tags: ['warren'] })),
      ),
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
  registry.revoke = () => {
    broker.users.splice(0);
    return Promise.resolve();
  };
  const reconcile = () => registry.reconcile('default', AbortSignal.timeout(5_000));
  return { registry, broker, reconcile, resource, exchanges };
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

const PER_SUBSCRIPTION: Partial<BrokerSpec> = { consumerCredentials: { mode: 'PerSubscription' } };
const USERS = ['shop.loyalty@/#3f9a2c01', 'crm.points@/#3f9a2c01'];

test('a broker that does not allow our namespace loses its users, is not told of, and is left when none is there', async () => {
  const { registry, broker, reconcile, resource, exchanges } = oneBroker(PER_SUBSCRIPTION, 'shop');
  broker.users = [...USERS];
  await reconcile();
  const { tellings } = broker;
  resource.spec.allowedNamespaces = ['crm'];
  expect(registry.stateOf('default')).toMatchObject({ state: 'down', reason: 'BrokerNotAllowed' });
  expect(await reconcile()).toEqual({ requeueAfterMs: 15_000 });
  expect(broker.users).toEqual([]);
  expect(await reconcile()).toEqual({});
  expect(registry.stateOf('default')).toMatchObject({ state: 'down', reason: 'BrokerNotAllowed' });
  expect(registry.stateOf('default')).not.toHaveProperty('last');
  expect(broker).toMatchObject({ looks: 3, surveys: 1, tellings });
  expect(exchanges).toHaveLength(1);
});

test('of a broker that ceases to allow our namespace while it is asked nothing is said any more', async () => {
  const { resource, broker, reconcile } = oneBroker({}, 'shop');
  broker.listing = () => (resource.spec.allowedNamespaces = ['crm']);
  await reconcile();
  expect(broker.tellings).toBe(0);
});

test('a broker that does not allow our namespace is looked at when the operator starts, and nothing is written to it', async () => {
  const { registry, broker, reconcile, exchanges } = oneBroker(
    { ...PER_SUBSCRIPTION, allowedNamespaces: ['crm'] },
    'shop',
  );
  broker.users = [...USERS];
  expect(registry.stateOf('default').state).toBe('unknown');
  broker.answers = false;
  const { requeueAfterMs } = await reconcile();
  expect(requeueAfterMs).toBeLessThanOrEqual(1_000);
  expect(broker.users).toEqual(USERS);
  broker.answers = true;
  await reconcile();
  expect(broker).toMatchObject({ users: [], surveys: 0, tellings: 0 });
  expect(exchanges).toEqual([]);
  // What is not deleted yet needs it.
  registry.isNeeded = () => true;
  expect(await reconcile()).toEqual({ requeueAfterMs: 15_000 });
  expect(registry.stateOf('default')).toHaveProperty('last');
});

test('a broker that does not allow our namespace is left alone where its Secret cannot be read, and where none has users', async () => {
  const unreadable = oneBroker({ ...PER_SUBSCRIPTION, allowedNamespaces: ['crm'] }, 'shop');
  unreadable.broker.isReadable = false;
  expect(await unreadable.reconcile()).toEqual({});
  const shared = oneBroker({ allowedNamespaces: ['crm'] }, 'shop');
  expect(await shared.reconcile()).toEqual({});
  for (const { registry, broker } of [unreadable, shared]) {
    expect(broker.looks).toBe(0);
    expect(registry.stateOf('default').state).toBe('down');
  }
});

test('a broker that does not allow our namespace keeps its users where the virtual host is somebody else’s', async () => {
  const { broker, reconcile, exchanges } = oneBroker(
    { ...PER_SUBSCRIPTION, allowedNamespaces: ['crm'] },
    'shop',
  );
  const mark = markOf({ broker: 'default', uid: 'another', cluster: 'another' });
  exchanges.push({ ...mark, internal: false });
  broker.users = [...USERS];
  await reconcile();
  expect(broker.users).toEqual(USERS);
});
