import { expect, test } from '@jest/globals';
import { silentLog } from '@warren/controller';
import type { FoundExchange } from '@warren/topology';
import { Registry } from 'prom-client';
import type { BrokerClient } from './brokers/client.ts';
import { createOperator } from './operator.ts';
import type { BrokerResource } from './resources.ts';
import type { Collection, ResourceSource } from './source.ts';
import { running } from './testing/running.ts';

function collectionOf<T>(resources: ReadonlyMap<string, T>): Collection<T> {
  return {
    get: (key) => resources.get(key),
    list: () => [...resources.values()],
    revision: 0,
    onChange: () => undefined,
    changes: {
      name: 'listed once',
      synced: Promise.resolve(),
      start: (enqueue) => [...resources.keys()].forEach((key) => enqueue(key)),
      stop: () => Promise.resolve(),
    },
  };
}

/** One EventBroker for each name, which is also its host. */
function sourceOf(names: readonly string[]): ResourceSource {
  const brokers = names.map((name): [string, BrokerResource] => [
    name,
    { metadata: { name, uid: name }, spec: { secretRef: { namespace: 'a', name } } },
  ]);
  const source: Partial<ResourceSource> = {
    mode: 'kubernetes',
    brokers: collectionOf(new Map(brokers)),
    subscriptions: collectionOf(new Map()),
    publishers: collectionOf(new Map()),
    readSecret: ({ name }) => Promise.resolve({ uri: `amqp://${name}`, 'management-uri': `http://${name}` }),
    onSecretChange: () => undefined,
    clusterId: () => Promise.resolve(undefined),
    writeBrokerStatus: () => Promise.resolve(true),
    tell: () => undefined,
  };
  return source as ResourceSource;
}

/** An empty virtual host. */
function clientOf(overview: BrokerClient['overview']): BrokerClient {
  const nothing = () => Promise.resolve([]);
  const exchanges: FoundExchange[] = [];
  const client: Partial<BrokerClient> = {
    overview,
    alarms: nothing,
    users: nothing,
    permissions: nothing,
    topicPermissions: nothing,
    queueStats: () => Promise.resolve(new Map()),
    inventory: () =>
      Promise.resolve({ exchanges, queues: [], bindings: [], policies: [], operatorPolicies: [] }),
    declareExchange: (exchange) => {
      exchanges.push({ ...exchange, internal: false });
      return Promise.resolve();
    },
    eventExchangeAt: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };
  return client as BrokerClient;
}

test('brokers that do not answer hold up no look at one that does', async () => {
  const away = Array.from({ length: 20 }, (_, index) => `away-${index}`);
  const { promise: never, reject: end } = Promise.withResolvers<never>();
  const lookedAt = Promise.withResolvers<boolean>();
  let looks = 0;
  const healthy = clientOf(() => {
    looks += 1;
    if (looks === 3) lookedAt.resolve(true);
    return Promise.resolve({ version: '4.3.6', clusterName: 'c', exchangeTypes: [] });
  });
  const operator = createOperator({
    source: sourceOf([...away, 'healthy']),
    registry: new Registry(),
    log: silentLog,
    connect: ({ url }) => (new URL(url).hostname === 'healthy' ? healthy : clientOf(() => never)),
    resyncMs: 20,
  });
  const stop = running(operator, () => Promise.resolve());
  const tooLate = setTimeout(() => lookedAt.resolve(false), 5_000);
  const wasLookedAt = await lookedAt.promise;
  clearTimeout(tooLate);
  end(new Error('the broker is away'));
  await stop();
  expect(wasLookedAt).toBe(true);
});
