/** An operator for one namespace alone, which its EventBroker does not allow any more: docs/adr/0024. */
import { expect, test } from '@jest/globals';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { connectBroker, ManagementError } from '@warren/rabbitmq';
import { conditionOf } from '../conditions.ts';
import { brokerType, publisherType } from '../kubernetes/kubernetes-source.ts';
import type { BrokerResource, PublisherResource } from '../resources.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import type { ClusterOperator } from '../testing/kubernetes-world.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { readUserName } from './user.ts';

const consumerCredentials = { mode: 'PerSubscription' };
const events = ['OrderPlaced'];
const paused = { annotations: { 'warren.events/paused': 'true' } };
const patience = { timeoutMs: 30_000 };

/** Subscriptions, one of them paused, and a publisher, all with users of their own. */
async function threeUsers(stack: AsyncDisposableStack) {
  const { kubeconfig } = await testKubernetes();
  const broker = stack.use(await testBroker());
  const host = stack.use(virtualHost(broker));
  const world = stack.use(await kubernetesWorld(kubeconfig, broker));
  const { namespace, cluster } = world;
  const brokers = cluster.resource<BrokerResource>(brokerType);
  const publishers = cluster.resource<PublisherResource>(publisherType);
  const edit = (spec: object) => brokers.mergePatch({ name: namespace }, { spec });
  const start = () => stack.use(startClusterOperator(kubeconfig, world));
  /** As the broker has them: of every namespace. */
  const users = async () =>
    (await host.api.users())
      .map(({ name }) => name)
      .filter((name) => readUserName(name)?.vhost === broker.vhost);
  const uri = async (name: string) => (await world.secret(`${name}-binding`))?.['uri'] ?? '';
  const reason = async (name: string) =>
    conditionOf((await world.get(name))?.status?.conditions, 'Ready')?.reason;

  await edit({ consumerCredentials });
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await world.subscribe('payment', { events });
  await publishers.apply({ metadata: { name: 'user', namespace }, spec: { brokerRef: { name: namespace } } });
  stack.defer(async () => {
    await publishers.delete({ name: 'user', namespace });
    await world.kubectl('patch', 'epub', 'user', '--type=merge', '-p', '{"metadata":{"finalizers":null}}');
  });
  const operator = start();
  await eventually(
    async () => (await world.isReady('loyalty')) && (await world.isReady('payment')),
    patience,
  );
  await eventually(async () => (await users()).length === 3, patience);
  await world.subscribe('payment', { events }, paused);
  await eventually(async () => (await world.told('payment')).includes('Normal Paused'), patience);
  const eventBroker = () => brokers.get({ name: namespace });
  return { world, host, namespace, edit, start, operator, users, uri, reason, eventBroker };
}

/** Resolves when the broker ends the connection. */
async function consumerOn(stack: AsyncDisposableStack, uri: string): Promise<{ ended: Promise<void> }> {
  const connection = stack.use(connectBroker({ url: uri, name: 'a consumer' }));
  await connection.opened();
  const { promise: ended, resolve } = Promise.withResolvers<undefined>();
  connection.subscribe(({ state }) => {
    if (state === 'disconnected') resolve(undefined);
  });
  return { ended };
}

function failing({ calls }: ClusterOperator, ...names: string[]): void {
  calls.before = (call) => {
    if (names.includes(call))
      throw new ManagementError('WARREN_BROKER_UNREACHABLE', call, 'the broker is away');
  };
}

test('its users go at once, with their connections, and nothing is said of the broker; allowed again, the same bindings let in', async () => {
  await using stack = new AsyncDisposableStack();
  const t = await threeUsers(stack);
  const { ended } = await consumerOn(stack, await t.uri('loyalty'));
  const before = await t.users();
  // Nobody has the first, and the second is another operator's.
  const [gone, others] = [`${t.namespace}.gone`, 'other.points'].map((owner) =>
    (before[0] ?? '').replace(/^(publisher\.)?[^@]+/, owner),
  );
  for (const name of [gone, others])
    await t.host.api.putUser({ name: name ?? '', passwordHash: '', tags: ['warren'] });

  await t.edit({ allowedNamespaces: ['other'] });
  await ended;
  await eventually(async () => (await t.users()).join() === others, patience);
  await eventually(async () => (await t.reason('loyalty')) === 'BrokerNotAllowed', patience);
  for (const name of ['loyalty', 'payment', 'user'])
    await eventually(async () => (await t.world.told(name)).includes('Warning BrokerNotAllowed'), patience);
  expect(await t.reason('payment')).toBe('Paused');
  expect(await t.host.keysOf(`${t.namespace}.loyalty`)).toEqual(['order.placed']);

  const told = await t.eventBroker();
  expect(told.status?.observedGeneration).toBe((told.metadata.generation ?? 0) - 1);
  t.operator.calls.reset();
  await eventually(() => t.operator.calls.made.filter((call) => call === 'users').length >= 3, patience);
  expect(t.operator.calls.writes).toBe(0);
  expect(await t.eventBroker()).toEqual(told);

  await t.host.api.deleteUser(others ?? '');
  await t.edit({ allowedNamespaces: ['*'] });
  await t.world.subscribe('payment', { events });
  await eventually(async () => (await t.users()).sort().join() === before.sort().join(), patience);
});

test('its users go when the operator was not there at the edit', async () => {
  await using stack = new AsyncDisposableStack();
  const t = await threeUsers(stack);
  const { ended } = await consumerOn(stack, await t.uri('loyalty'));
  await t.operator.stop();
  await t.edit({ allowedNamespaces: ['other'] });
  t.start();
  await ended;
  await eventually(async () => (await t.users()).length === 0, patience);
  await eventually(async () => (await t.reason('loyalty')) === 'BrokerNotAllowed', patience);
  await eventually(
    async () => (await t.world.told('payment')).includes('Warning BrokerNotAllowed'),
    patience,
  );
});

test('its users go when the broker is back that was away at the edit, or with the next operator', async () => {
  await using stack = new AsyncDisposableStack();
  const t = await threeUsers(stack);
  failing(t.operator, 'overview', 'deleteUser');
  await t.edit({ allowedNamespaces: ['other'] });
  await eventually(async () => (await t.reason('loyalty')) !== 'Ready', patience);
  t.operator.calls.reset();
  await eventually(() => t.operator.calls.made.filter((call) => call === 'overview').length >= 2, patience);
  expect(await t.users()).toHaveLength(3);
  failing(t.operator);
  await eventually(async () => (await t.users()).length === 0, patience);

  await t.edit({ allowedNamespaces: ['*'] });
  await eventually(async () => (await t.users()).length === 2, patience);
  failing(t.operator, 'deleteUser');
  await t.edit({ allowedNamespaces: ['other'] });
  await eventually(() => t.operator.calls.made.includes('deleteUser'), patience);
  await t.operator.stop();
  expect(await t.users()).toHaveLength(2);
  t.start();
  await eventually(async () => (await t.users()).length === 0, patience);
});

test('a deletion takes its queues and its user along, also one that the operator finds when it starts', async () => {
  await using stack = new AsyncDisposableStack();
  const t = await threeUsers(stack);
  const end = async (name: string) => {
    await t.world.subscriptions.delete({ name, namespace: t.namespace });
    return eventually(async () => (await t.world.get(name)) === undefined, patience);
  };
  await t.edit({ allowedNamespaces: ['other'] });
  await eventually(async () => (await t.reason('loyalty')) === 'BrokerNotAllowed', patience);
  await end('loyalty');
  expect(await t.world.told('loyalty')).not.toContain('Warning Abandoned');
  expect(await t.host.api.queue(`${t.namespace}.loyalty`)).toBeUndefined();

  await t.operator.stop();
  await t.world.subscribe('payment', { events, deletionPolicy: 'Delete' });
  await t.world.subscriptions.delete({ name: 'payment', namespace: t.namespace });
  t.start();
  await eventually(async () => (await t.world.get('payment')) === undefined, patience);
  expect(await t.host.api.queue(`${t.namespace}.payment`)).toBeUndefined();
  await eventually(async () => (await t.users()).length === 0, patience);
});
