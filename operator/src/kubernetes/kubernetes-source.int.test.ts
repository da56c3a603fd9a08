import { expect, test } from '@jest/globals';
import { KubeConfig } from '@kubernetes/client-node';
import { createCluster, resources, silentLog } from '@warren/controller';
import type { Cluster, KubernetesObject, ResourceType } from '@warren/controller';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { connectBroker, ManagementError } from '@warren/rabbitmq';
import { conditionOf } from '../conditions.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import { whyNotListed } from '../run.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { KubernetesSource } from './kubernetes-source.ts';

const events = ['OrderPlaced', 'payment.*'];

test('what is applied becomes Ready, and kubectl shows it: columns, binding, story', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using host = virtualHost(broker);
  await using _operator = startClusterOperator(kubeconfig, world);
  await world.subscribe('loyalty', { events });
  await eventually(() => world.isReady('loyalty'));

  const queue = `${world.namespace}.loyalty`;
  expect(await host.keysOf(queue)).toEqual(['order.placed', 'payment.*']);
  const [heads, row] = (await world.kubectl('get', 'esub')).split('\n').map((line) => line.split(/\s+/));
  expect(heads).toEqual([
    'NAME',
    'READY',
    'EVENTS',
    'DEPTH',
    'UNACKED',
    'DEAD',
    'CONSUMERS',
    'WAITING',
    'REPLICAS',
    'AGE',
  ]);
  expect(row?.slice(0, 7)).toEqual(['loyalty', 'True', '["OrderPlaced","payment.*"]', '0', '0', '0', '0']);
  expect(await world.secret('loyalty-binding')).toMatchObject({
    type: 'rabbitmq',
    uri: broker.amqpUrl,
    subscription: `${world.namespace}/loyalty`,
    queue,
    prefetch: '50',
    'retry-mode': 'broker',
  });
  await eventually(async () => (await world.told('loyalty')).length === 2);
  expect((await world.told('loyalty')).sort()).toEqual(['Normal Applied', 'Normal Ready']);
  expect(await world.kubectl('describe', 'esub', 'loyalty')).toContain(
    `queue ${queue} takes order.placed, payment.*`,
  );
  const status = JSON.stringify((await world.get('loyalty'))?.status);
  expect(status).not.toContain(new URL(broker.amqpUrl).password + '@');
});

test('while nothing differs, nothing is written to the API server or to the broker', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  const names = Array.from({ length: 20 }, (_, index) => `s${index}`);
  for (const name of names) await world.subscribe(name, { events });
  await using operator = startClusterOperator(kubeconfig, world);
  for (const name of names) await eventually(() => world.isReady(name));
  // The last of its events.
  for (const name of names) await eventually(async () => (await world.told(name)).length === 2);
  operator.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 6);
  expect(operator.calls.writes).toBe(0);
  expect(operator.writes).toBe(0);
});

test('a binding that is deleted or changed by hand is made again; one of somebody else is left alone', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using _operator = startClusterOperator(kubeconfig, world);
  await world.subscribe('loyalty', { events });
  await eventually(() => world.isReady('loyalty'));
  await world.kubectl('delete', 'secret', 'loyalty-binding');
  await eventually(async () => (await world.secret('loyalty-binding'))?.['queue']);
  const patch = JSON.stringify({ stringData: { queue: 'other' } });
  await world.kubectl('patch', 'secret', 'loyalty-binding', '-p', patch);
  await eventually(
    async () => (await world.secret('loyalty-binding'))?.['queue'] === `${world.namespace}.loyalty`,
  );

  await world.cluster.resource(resources.secrets).create({
    metadata: { name: 'payment-binding', namespace: world.namespace },
    stringData: { mine: 'yes' },
  } as never);
  await world.subscribe('payment', { events });
  await eventually(async () => {
    const { conditions } = (await world.get('payment'))?.status ?? {};
    return conditionOf(conditions, 'Ready')?.reason === 'BindingTaken';
  });
  expect(await world.secret('payment-binding')).toEqual({ mine: 'yes' });
  await world.kubectl('delete', 'secret', 'payment-binding');
  await eventually(() => world.isReady('payment'));
});

test('a deleted subscription goes with its queues; one that holds messages waits, but does not hold up its namespace', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using host = virtualHost(broker);
  await using _operator = startClusterOperator(kubeconfig, world);
  await world.subscribe('loyalty', { events: ['OrderCompleted'] });
  await world.subscribe('payment', { events: ['OrderPlaced'] });
  await eventually(() => world.isReady('loyalty'));
  await eventually(() => world.isReady('payment'));
  await host.publish('order.placed', ['kept']);
  await world.kubectl('delete', 'esub', '--all', '--wait=false');
  await eventually(async () => (await world.get('loyalty')) === undefined);
  expect((await host.api.inventory()).queues.map(({ name }) => name).sort()).toEqual([
    `${world.namespace}.payment`,
    `${world.namespace}.payment.dead`,
  ]);
  await eventually(async () => {
    const { conditions } = (await world.get('payment'))?.status ?? {};
    return conditionOf(conditions, 'Ready')?.reason === 'MessagesLeft';
  });
  await eventually(async () => (await world.told('payment')).includes('Warning MessagesLeft'));

  await world.kubectl('delete', 'namespace', world.namespace, '--wait=false');
  await eventually(async () => (await world.get('payment')) === undefined);
  expect((await host.api.queue(`${world.namespace}.payment`))?.messages).toBe(1);
});

test('a deletion is done in one pass: what it says of itself does not stand in its own way', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using operator = startClusterOperator(kubeconfig, world);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await eventually(() => world.isReady('loyalty'));
  await world.kubectl('delete', 'esub', 'loyalty');
  expect(await world.get('loyalty')).toBeUndefined();
  expect(operator.conflicts).toBe(0);
});

test('a broker that refuses the deletion is waited for, but does not hold up the namespace', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = startClusterOperator(kubeconfig, world);
  await world.subscribe('loyalty', { events: ['OrderPlaced'], deletionPolicy: 'Delete' });
  await eventually(() => world.isReady('loyalty'));
  operator.calls.before = (call) => {
    if (call === 'deleteQueue')
      throw new ManagementError('WARREN_BROKER_FORBIDDEN', 'delete queue', 'configure access refused');
  };
  await world.kubectl('delete', 'esub', 'loyalty', '--wait=false');
  await eventually(async () => {
    const { conditions } = (await world.get('loyalty'))?.status ?? {};
    return conditionOf(conditions, 'Ready')?.reason === 'BrokerRefused';
  });

  await world.kubectl('delete', 'namespace', world.namespace, '--wait=false');
  await eventually(async () => (await world.get('loyalty')) === undefined);
  expect(await host.api.queue(`${world.namespace}.loyalty`)).toBeDefined();
});

test('a migration that does not get on does not hold up the namespace', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  await using host = virtualHost(broker);
  const { namespace } = world;
  const uris = [
    `--from-literal=uri=${broker.amqpUrl}`,
    `--from-literal=management-uri=${broker.managementUrl}`,
  ];
  // Where the Secret does not go with the namespace.
  await world.kubectl('-n', 'default', 'create', 'secret', 'generic', namespace, ...uris);
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(async () => {
    await world.kubectl('-n', 'default', 'delete', 'secret', namespace);
  });
  const elsewhere = { spec: { secretRef: { namespace: 'default', name: namespace } } };
  await world.kubectl('patch', 'eventbroker', namespace, '--type=merge', '-p', JSON.stringify(elsewhere));
  await using _operator = startClusterOperator(kubeconfig, world, { abandonAfterMs: 2_000 });
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await eventually(() => world.isReady('loyalty'));
  await host.publish('order.placed', ['in hand']);
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'a consumer that hangs' });
  const channel = await (await connection.opened()).createChannel();
  const taken = new Promise((resolve) => void channel.consume(`${namespace}.loyalty`, resolve));
  await taken;
  await world.subscribe('loyalty', { events: ['OrderPlaced'], queue: { type: 'classic' } });
  await eventually(async () => (await world.get('loyalty'))?.status?.migration?.phase === 'Draining');

  await world.kubectl('delete', 'namespace', namespace, '--wait=false');
  await eventually(async () => (await world.get('loyalty')) === undefined);
  expect((await host.api.queue(`${namespace}.loyalty`))?.messages).toBe(1);
});

test('a definition that was not applied is named, and readiness says to apply it', async () => {
  const { kubeconfig } = await testKubernetes();
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(kubeconfig);
  await using cluster = createCluster({ kubeConfig, fieldManager: 'operator-test' });
  // Other tests need the real one meanwhile.
  const missing = (type: ResourceType) =>
    type.kind === 'EventPublisher' ? { ...type, plural: 'eventpublishers-of-later' } : type;
  const old: Cluster = {
    ...cluster,
    authority: () => cluster.authority(),
    resource: <T extends KubernetesObject>(type: ResourceType) => cluster.resource<T>(missing(type)),
  };
  await using source = new KubernetesSource({ cluster: old, instance: 'test', log: silentLog });
  expect(whyNotListed(source.missingDefinitions())).toEqual(['the resources have not been listed yet']);
  for (const { changes } of [source.subscriptions, source.publishers, source.brokers])
    changes.start(() => undefined);
  await source.subscriptions.changes.synced;
  await eventually(() => source.missingDefinitions().length > 0);
  expect(whyNotListed(source.missingDefinitions())).toEqual([
    'the API server does not know eventpublishers-of-later.warren.events: apply the CustomResourceDefinitions of this version',
  ]);
});
