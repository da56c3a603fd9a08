/** What takes a whole cluster: two namespaces, the end of one, the end of a definition. On an API server of its own. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { resources } from '@warren/controller';
import type { KubernetesObject } from '@warren/controller';
import { dedicatedKubernetes, eventually, testBroker } from '@warren/environment/testing';
import type { DedicatedKubernetes } from '@warren/environment/testing';
import { conditionOf } from '../conditions.ts';
import type { BrokerResource, SubscriptionResource } from '../resources.ts';
import { faultProxy } from '../testing/fault-proxy.ts';
import { applyDefinitions, kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import type { KubernetesWorld } from '../testing/kubernetes-world.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { brokerType } from './kubernetes-source.ts';

const events = ['OrderPlaced'];
const patience = { timeoutMs: 90_000, intervalMs: 100 };
const annotated = (key: string, value: string) => ({ annotations: { [`warren.events/${key}`]: value } });
const ids = (count: number) => Array.from({ length: count }, (_, index) => `e-${index}`);

let server: DedicatedKubernetes;

beforeAll(async () => {
  server = await dedicatedKubernetes();
}, 240_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function condition(resource: SubscriptionResource | undefined, type: string) {
  return conditionOf(resource?.status?.conditions, type);
}

const namespaceIsGone = async ({ cluster, namespace }: KubernetesWorld) =>
  (await cluster.resource(resources.namespaces).find({ name: namespace })) === undefined;

test('a subscription moves to another namespace with its messages and dead letters', async () => {
  await using broker = await testBroker();
  await using old = await kubernetesWorld(server.kubeconfig, broker);
  await using host = virtualHost(broker);
  const { cluster, subscriptions } = old;
  const crm = `${old.namespace}-crm`;
  await cluster.resource(resources.namespaces).create({ metadata: { name: crm } });
  await cluster
    .resource<BrokerResource>(brokerType)
    .mergePatch({ name: old.namespace }, { spec: { allowedNamespaces: [old.namespace, crm] } });
  await using _operator = startClusterOperator(server.kubeconfig, {});
  await old.subscribe('loyalty', { events });
  await eventually(() => old.isReady('loyalty'), patience);
  await host.publish('order.placed', ids(200));
  await host.publisher.publish({
    ...{ exchange: 'failed_events', routingKey: `${old.namespace}.loyalty` },
    content: Buffer.from('dead'),
  });

  const points = { name: 'points', namespace: crm };
  const spec = { events, brokerRef: { name: old.namespace } };
  const claim = annotated('claim-from', `${old.namespace}/loyalty`);
  await subscriptions.apply({ metadata: { ...points, ...claim }, spec } as unknown as SubscriptionResource);
  const seen = () => subscriptions.find(points);
  await eventually(async () => condition(await seen(), 'Ready')?.reason === 'ClaimPending', patience);
  await old.kubectl('annotate', 'esub', 'loyalty', `warren.events/release-to=${crm}/points`);
  await eventually(async () => condition(await old.get('loyalty'), 'Released')?.status === 'True', patience);
  await eventually(async () => condition(await seen(), 'TopologyInSync')?.status === 'True', patience);
  await old.kubectl('delete', 'esub', 'loyalty', '--timeout=20s');
  expect(await old.get('loyalty')).toBeUndefined();
  await host.publish('order.placed', ['later']);
  const count = async (queue: string) => (await host.api.queue(`${crm}.${queue}`))?.messages;
  await eventually(async () => (await count('points')) === 201, patience);
  await eventually(async () => (await count('points.dead')) === 1, patience);
  const { queues } = await host.api.inventory();
  expect(queues.map(({ name }) => name).filter((name) => name.startsWith(`${old.namespace}.`))).toEqual([]);

  // With the namespace everything of it goes, and nothing hangs: what holds messages is left.
  await old.kubectl('delete', 'namespace', crm, '--timeout=60s');
  expect(await cluster.resource(resources.namespaces).find({ name: crm })).toBeUndefined();
  expect(await count('points')).toBe(201);
}, 240_000);

test('paused, let go of, deleted and adopted again: the queue keeps its messages all the way', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(server.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = startClusterOperator(server.kubeconfig, world);
  await world.subscribe('loyalty', { events });
  await eventually(() => world.isReady('loyalty'), patience);
  const queue = `${world.namespace}.loyalty`;
  await host.publish('order.placed', ids(10));
  const reason = async () => condition(await world.get('loyalty'), 'TopologyInSync')?.reason;

  await world.kubectl('annotate', 'esub', 'loyalty', 'warren.events/paused=true');
  await eventually(async () => (await reason()) === 'Paused', patience);
  await host.api.unbind((await host.api.bindingsOf(queue))[0]!);
  await world.kubectl(
    'patch',
    'esub',
    'loyalty',
    '--type=merge',
    '-p',
    '{"spec":{"events":["PaymentApproved"]}}',
  );
  operator.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 3);
  expect(operator.calls.writes).toBe(0);
  expect(operator.writes).toBe(0);
  await world.kubectl('annotate', 'esub', 'loyalty', 'warren.events/paused-');
  await eventually(async () => (await host.keysOf(queue)).join() === 'payment.approved', patience);
  await eventually(async () => (await reason()) === 'InSync', patience);

  await world.kubectl('annotate', 'esub', 'loyalty', 'warren.events/unmanaged=true');
  await eventually(async () => (await world.get('loyalty'))?.metadata.finalizers === undefined, patience);
  await world.kubectl('delete', 'esub', 'loyalty', '--timeout=10s');
  expect(await world.get('loyalty')).toBeUndefined();
  expect(await host.keysOf(queue)).toEqual(['payment.approved']);

  await world.subscribe('loyalty', { events }, annotated('adopt', 'true'));
  await eventually(() => world.isReady('loyalty'), patience);
  expect(await host.keysOf(queue)).toEqual(['order.placed']);
  expect((await world.get('loyalty'))?.metadata.finalizers).toHaveLength(1);
  await eventually(async () => (await host.api.queue(queue))?.messages === 10, patience);
}, 120_000);

test('a namespace goes with its subscriptions and their queues while the broker is up', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(server.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using _operator = startClusterOperator(server.kubeconfig, {});
  await world.subscribe('empty', { events: ['OrderCompleted'] });
  await world.subscribe('loyalty', { events });
  await world.subscribe('payment', { events, deletionPolicy: 'Delete' });
  for (const name of ['empty', 'loyalty', 'payment']) await eventually(() => world.isReady(name), patience);
  await host.publish('order.placed', ['kept']);
  await world.kubectl('delete', 'namespace', world.namespace, '--wait=false');
  await eventually(() => namespaceIsGone(world), patience);
  const { queues } = await host.api.inventory();
  // With a message in it, of a subscription that does not say Delete.
  expect(queues.map(({ name }) => name).sort()).toEqual(
    ['loyalty', 'loyalty.dead'].map((name) => `${world.namespace}.${name}`),
  );
}, 150_000);

test('a namespace goes while the broker is down, and what was left is taken up when both are there again', async () => {
  await using broker = await testBroker();
  await using proxy = await faultProxy(broker.managementUrl);
  await using world = await kubernetesWorld(server.kubeconfig, { ...broker, ...proxy });
  await using host = virtualHost(broker);
  await using _operator = startClusterOperator(server.kubeconfig, {});
  const names = ['loyalty', 'payment', 'points'];
  for (const name of names) await world.subscribe(name, { events, deletionPolicy: 'Delete' });
  for (const name of names) await eventually(() => world.isReady(name), patience);
  await host.publish('order.placed', ['kept']);
  proxy.faultOf = () => ({ fault: 'refuse' });
  const brokers = world.cluster.resource<BrokerResource>(brokerType);
  await eventually(async () => {
    const { conditions } = (await brokers.get({ name: world.namespace })).status ?? {};
    return conditionOf(conditions, 'Reachable')?.status === 'False';
  }, patience);
  await world.kubectl('delete', 'namespace', world.namespace, '--wait=false');
  await eventually(() => namespaceIsGone(world), patience);
  proxy.faultOf = () => undefined;
  expect((await host.api.queue(`${world.namespace}.loyalty`))?.messages).toBe(1);

  const { namespace, cluster } = world;
  await cluster.resource(resources.namespaces).create({ metadata: { name: namespace } });
  await cluster.resource<KubernetesObject>(resources.secrets).create({
    metadata: { name: 'rabbitmq', namespace },
    stringData: { uri: broker.amqpUrl, 'management-uri': broker.managementUrl },
  } as KubernetesObject);
  await world.subscribe('loyalty', { events });
  await eventually(() => world.isReady('loyalty'), patience);
  expect((await host.api.queue(`${namespace}.loyalty`))?.messages).toBe(1);
}, 150_000);

test('the API server is killed: what was made goes on as it was, and what comes after is done when it is back', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(server.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = startClusterOperator(server.kubeconfig, {});
  const names = ['loyalty', 'payment', 'points'];
  for (const name of names) await world.subscribe(name, { events, deletionPolicy: 'Delete' });
  for (const name of names) await eventually(() => world.isReady(name), patience);
  operator.reset();
  await server.kill();
  await host.api.deleteQueue(`${world.namespace}.loyalty`);
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 3, patience);
  await server.start();

  await world.subscribe('payment', { events: ['PaymentApproved'], deletionPolicy: 'Delete' });
  await world.subscribe('anew', { events });
  await world.kubectl('delete', 'esub', 'points', '--wait=false');
  await eventually(() => world.isReady('payment'), patience);
  await eventually(() => world.isReady('anew'), patience);
  await eventually(async () => (await world.get('points')) === undefined, patience);
  expect(await host.keysOf(`${world.namespace}.payment`)).toEqual(['payment.approved']);
  // Told before it is repaired, so that took the API server.
  await eventually(async () => (await host.keysOf(`${world.namespace}.loyalty`)).length === 1, patience);
  await eventually(async () => (await world.told('loyalty')).includes('Normal Repaired'), patience);
  const { queues } = await host.api.inventory();
  expect(
    queues
      .map(({ name }) => name)
      .filter((name) => !name.endsWith('.dead'))
      .sort(),
  ).toEqual(['anew', 'loyalty', 'payment'].map((name) => `${world.namespace}.${name}`));
}, 150_000);

test('the definition of EventSubscription is deleted and made again: the operator goes on by itself', async () => {
  await using broker = await testBroker();
  await using world = await kubernetesWorld(server.kubeconfig, broker);
  await using host = virtualHost(broker);
  await using operator = startClusterOperator(server.kubeconfig, {});
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await eventually(() => world.isReady('loyalty'), patience);
  const definitions = world.cluster.resource<KubernetesObject>(resources.customResourceDefinitions);
  const definition = { name: 'eventsubscriptions.warren.events' };
  await world.kubectl('delete', 'crd', definition.name, '--wait=false');
  await eventually(async () => (await definitions.find(definition)) === undefined, patience);
  expect((await host.api.inventory()).queues).toEqual([]);
  // It has met that there is no such thing, and still looks at the broker.
  operator.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 4, patience);

  await applyDefinitions(world.cluster);
  await world.subscribe('points', { events });
  await eventually(() => world.isReady('points'), patience);
  await world.kubectl('delete', 'esub', 'points', '--wait=false');
  await eventually(async () => (await world.get('points')) === undefined, patience);
  expect((await host.api.inventory()).queues).toEqual([]);
}, 180_000);
