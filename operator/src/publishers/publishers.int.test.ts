/** Publishers of their own: what a real broker lets them do, and how they come, change and go. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { connectBroker, createManagementClient, createPublisher, ManagementError } from '@warren/rabbitmq';
import type { ManagementCode } from '@warren/rabbitmq';
import { stringify } from 'yaml';
import { conditionOf } from '../conditions.ts';
import { brokerType, publisherType } from '../kubernetes/kubernetes-source.ts';
import type { BrokerResource, PublisherResource } from '../resources.ts';
import { folderWorld, readKeysOf, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld, RunningOperator } from '../testing/folder-operator.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import { usersOf } from '../testing/made-users.ts';
import { ownUser } from '../testing/own-user.ts';
import { recordCalls, recordCallsUntilDeath } from '../testing/recording-client.ts';
import { virtualHost } from '../testing/virtual-host.ts';

const PER_SUBSCRIPTION = { consumerCredentials: { mode: 'PerSubscription' } };
const events = ['OrderPlaced'];

async function publisher(
  { folder }: Pick<FolderWorld, 'folder'>,
  name: string,
  spec: object = {},
  metadata: object = {},
): Promise<void> {
  const resource = { apiVersion: 'warren.events/v1alpha1', kind: 'EventPublisher', spec };
  const text = stringify({ ...resource, metadata: { name, namespace: 'shop', ...metadata } });
  await writeFile(join(folder, `publisher-${name}.yaml`), text);
}

const remove = ({ folder }: Pick<FolderWorld, 'folder'>, name: string) =>
  rm(join(folder, `publisher-${name}.yaml`));

function readyOf({ source }: RunningOperator, name: string) {
  const found = source.publishers.get(`shop/${name}`);
  const ready = conditionOf(found?.status?.conditions, 'Ready');
  return ready?.observedGeneration === found?.metadata.generation ? ready : undefined;
}

async function ready(operator: RunningOperator, name: string): Promise<void> {
  await eventually(() => readyOf(operator, name)?.status === 'True');
}

async function uriOf({ state }: Pick<FolderWorld, 'state'>, name: string): Promise<string> {
  return readFile(join(state, 'bindings', 'shop', name, 'uri'), 'utf8');
}

const userIn = (uri: string) => decodeURIComponent(new URL(uri).username);

/** What the broker answers to one call on a channel of its own: `ok`, or the refusal. */
async function answers(
  url: string,
  call: (channel: Awaited<ReturnType<typeof openChannel>>['channel']) => Promise<unknown>,
): Promise<string> {
  const { channel, end } = await openChannel(url);
  try {
    await call(channel);
    return 'ok';
  } catch (error) {
    return /ACCESS_REFUSED|closed/.test(String(error)) ? 'refused' : String(error);
  } finally {
    await end();
  }
}

async function openChannel(url: string) {
  const connection = connectBroker({ url, name: 'publishers-test' });
  const channel = await (await connection.opened()).createConfirmChannel();
  channel.on('error', () => undefined);
  return { channel, end: () => connection.close() };
}

const publish = (url: string, exchange: string, key: string) =>
  answers(url, async (channel) => {
    channel.publish(exchange, key, Buffer.from('x'));
    await channel.waitForConfirms();
  });

test('it may publish its events and nothing else: no queue is read, nothing declared, no other key taken', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('payment', { events });
  await publisher(world, 'user', { events: ['UserCreated', 'user.*.done'] });
  await publisher(world, 'anything');
  await using operator = await startFolderOperator(world);
  await ready(operator, 'user');
  await ready(operator, 'anything');
  const uri = await uriOf(world, 'user');
  expect(userIn(uri)).toMatch(/^publisher\.shop\.user@/);
  expect(await readKeysOf(world.state, 'user')).toMatchObject({
    type: 'rabbitmq',
    publisher: 'shop/user',
    'events-exchange': 'events',
  });
  expect(await publish(uri, 'events', 'user.created')).toBe('ok');
  expect(await publish(uri, 'events', 'user.x.done')).toBe('ok');
  expect(await publish(uri, 'events', 'order.placed')).toBe('refused');
  expect(await publish(await uriOf(world, 'anything'), 'events', 'order.placed')).toBe('ok');
  for (const mine of [uri, await uriOf(world, 'anything')]) {
    expect(await publish(mine, 'failed_events', 'shop.payment')).toBe('refused');
    expect(await publish(mine, '', 'shop.payment')).toBe('refused');
    expect(await answers(mine, (channel) => channel.get('shop.payment'))).toBe('refused');
    expect(await answers(mine, (channel) => channel.consume('shop.payment', () => undefined))).toBe(
      'refused',
    );
    expect(await answers(mine, (channel) => channel.purgeQueue('shop.payment'))).toBe('refused');
    expect(await answers(mine, (channel) => channel.assertQueue('mine'))).toBe('refused');
    expect(await answers(mine, (channel) => channel.bindQueue('shop.payment', 'events', '#'))).toBe(
      'refused',
    );
  }
  const said = JSON.stringify([operator.source.publishers.list(), operator.told]);
  expect(said).not.toContain(decodeURIComponent(new URL(uri).password));
});

test('nothing is written while nothing differs, nor by a restart; what somebody changed by hand is put right', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.broker(PER_SUBSCRIPTION);
  await publisher(world, 'user', { events: ['UserCreated'] });
  {
    await using operator = await startFolderOperator(world);
    await ready(operator, 'user');
  }
  const uri = await uriOf(world, 'user');
  await using operator = await startFolderOperator(world);
  await eventually(() => operator.calls.made.filter((name) => name === 'users').length >= 3);
  expect(operator.calls.writes).toBe(0);
  const user = userIn(uri);
  const topic = async () => (await host.api.topicPermissions()).find((one) => one.user === user);
  await host.api.deleteTopicPermissions(user);
  await eventually(async () => (await topic())?.write === '^(user\\.created)$');
  await host.api.deleteUser(user);
  await eventually(async () => (await usersOf(broker)).includes(user) && (await topic()) !== undefined);
  expect(await publish(await uriOf(world, 'user'), 'events', 'user.created')).toBe('ok');

  await publisher(world, 'user');
  await eventually(async () => (await topic()) === undefined);
  expect(await uriOf(world, 'user')).toBe(uri);
});

test('a rotation while it publishes loses no event, and the old user goes', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('event-log', { events: ['#'] });
  await publisher(world, 'user');
  await using operator = await startFolderOperator(world, { tidyAfterMs: 200 });
  await ready(operator, 'user');
  await eventually(() => operator.condition('event-log', 'Ready')?.status === 'True');
  let confirmed = 0;
  let uri = await uriOf(world, 'user');
  const first = userIn(uri);
  for (const round of ['1', '2']) {
    await using connection = connectBroker({ url: uri, name: 'a publisher' });
    await using publishing = createPublisher(connection, { exchange: 'events' });
    const send = async () => {
      await publishing.publish({ routingKey: 'user.created', content: Buffer.from('{}') });
      confirmed += 1;
    };
    await send();
    await publisher(world, 'user', {}, { annotations: { 'warren.events/rotate': round } });
    await eventually(async () => {
      await send();
      return (await uriOf(world, 'user')) !== uri;
    });
    // As its old user, as long as it likes.
    await send();
    uri = await uriOf(world, 'user');
  }
  await eventually(async () => {
    const publishers = (await usersOf(broker)).filter((name) => name.startsWith('publisher.'));
    return publishers.length === 1 && publishers[0] === userIn(uri) && first !== userIn(uri);
  });
  await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  await eventually(async () => (await api.queue('shop.event-log'))?.messages === confirmed);
});

test('killed after any write, the next operator ends with one user, whom the binding lets in', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await publisher(world, 'user', { events: ['UserCreated'] });
  for (let writes = 0; ; writes += 1) {
    const calls = recordCallsUntilDeath(writes);
    {
      await using dying = await startFolderOperator(world, { calls, tidyAfterMs: 0 });
      await eventually(() => calls.died || readyOf(dying, 'user')?.status === 'True');
    }
    if (!calls.died) break;
  }
  // And between the user and its binding.
  {
    await using dying = await startFolderOperator(world);
    await ready(dying, 'user');
    dying.source.writeBinding = () => Promise.reject(new Error('the process is dead'));
    await publisher(world, 'user', {}, { annotations: { 'warren.events/rotate': 'now' } });
    await eventually(async () => (await usersOf(broker)).length >= 2);
    expect(await publish(await uriOf(world, 'user'), 'events', 'user.created')).toBe('ok');
  }
  await using last = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(last, 'user');
  await eventually(async () => (await usersOf(broker)).length === 1);
  expect(await usersOf(broker)).toEqual([userIn(await uriOf(world, 'user'))]);
  expect(await publish(await uriOf(world, 'user'), 'events', 'user.created')).toBe('ok');
});

test('it goes with its users and their connections; without users of their own it has the broker’s', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await publisher(world, 'user');
  await using operator = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(operator, 'user');
  const closed = Promise.withResolvers<undefined>();
  await using connection = connectBroker({ url: await uriOf(world, 'user'), name: 'a publisher' });
  await connection.opened();
  connection.subscribe(({ state }) => {
    if (state === 'disconnected') closed.resolve(undefined);
  });
  await remove(world, 'user');
  await closed.promise;
  await eventually(() => operator.source.publishers.get('shop/user') === undefined);
  expect(await usersOf(broker)).toEqual([]);
  await expect(uriOf(world, 'user')).rejects.toThrow('ENOENT');
  expect(operator.told.map(({ name, reason }) => `${name} ${reason}`)).toContain('user Deleted');

  await publisher(world, 'user');
  await ready(operator, 'user');
  await world.broker();
  await eventually(async () => (await uriOf(world, 'user').catch(() => '')) === broker.amqpUrl);
  await eventually(async () => (await usersOf(broker)).length === 0);
  await world.broker({ allowedNamespaces: ['other'] });
  await eventually(() => readyOf(operator, 'user')?.reason === 'BrokerNotAllowed');
  await world.broker();
  await ready(operator, 'user');
});

test('a subscription of its name has the binding, and it says so; without that one it has it again', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await publisher(world, 'order');
  await using operator = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(operator, 'order');
  await world.subscribe('order', { events, deletionPolicy: 'Delete' });
  await eventually(() => operator.condition('order', 'Ready')?.status === 'True');
  await eventually(() => readyOf(operator, 'order')?.reason === 'NameTaken');
  expect(readyOf(operator, 'order')?.message).toContain('a service that subscribes needs no EventPublisher');
  await eventually(async () => (await usersOf(broker)).join().startsWith('shop.order@'));
  expect(await publish(await uriOf(world, 'order'), 'events', 'order.placed')).toBe('ok');
  await world.unsubscribe('order');
  await ready(operator, 'order');
  await eventually(async () => (await usersOf(broker)).join().startsWith('publisher.shop.order@'));
  expect(await publish(await uriOf(world, 'order'), 'events', 'order.placed')).toBe('ok');
});

test('paused, nothing about it changes; while the broker cannot be reached its deletion waits', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  const paused = { annotations: { 'warren.events/paused': 'true', 'warren.events/rotate': 'x' } };
  await publisher(world, 'user');
  await using operator = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(operator, 'user');
  const uri = await uriOf(world, 'user');
  await publisher(world, 'user', {}, paused);
  await eventually(() => readyOf(operator, 'user')?.reason === 'Paused');
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((name) => name === 'users').length >= 2);
  expect(operator.calls.writes).toBe(0);
  expect(await uriOf(world, 'user')).toBe(uri);
  await publisher(world, 'user', {}, { annotations: { 'warren.events/rotate': 'x' } });
  await eventually(async () => (await uriOf(world, 'user')) !== uri);

  const { before } = operator.calls;
  operator.calls.before = () => {
    throw Object.assign(new Error('no broker'), { code: 'WARREN_BROKER_UNREACHABLE' });
  };
  await eventually(() => operator.brokerCondition('Ready')?.status === 'False');
  expect(readyOf(operator, 'user')?.status).toBe('True');
  await remove(world, 'user');
  await eventually(() => readyOf(operator, 'user')?.reason === 'BrokerUnavailable');
  operator.calls.before = before;
  await eventually(() => operator.source.publishers.get('shop/user') === undefined);
  expect(await usersOf(broker)).toEqual([]);
});

test('an exchange of another type in the place of its own is said, as by subscriptions; a missing one is made', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  const declare = (type: string) =>
    host.api.declareExchange({ name: 'my.events', type, durable: true, autoDelete: false, arguments: {} });
  const exchanges = { events: 'my.events', failedEvents: 'my.failed' };
  await declare('fanout');
  await world.broker({ ...PER_SUBSCRIPTION, exchanges });
  await publisher(world, 'user');
  {
    await using operator = await startFolderOperator(world);
    await eventually(() => readyOf(operator, 'user')?.reason === 'Conflict');
    expect(readyOf(operator, 'user')?.message).toContain('exchange my.events is of type fanout');
    await host.api.deleteExchange('my.events');
    await ready(operator, 'user');
    const { exchanges: found } = await host.api.inventory();
    expect(found.find(({ name }) => name === 'my.events')?.type).toBe('topic');
  }
  await host.api.deleteExchange('my.events');
  await declare('direct');
  await using operator = await startFolderOperator(world);
  await eventually(() => readyOf(operator, 'user')?.reason === 'Conflict');
});

test('its deletion waits for the right to remove its user, says so, and goes on by itself', async () => {
  await using broker = await testBroker();
  await using own = await ownUser(broker, 'administrator');
  await using world = await folderWorld(own.access);
  await world.broker(PER_SUBSCRIPTION);
  await publisher(world, 'user');
  await using operator = await startFolderOperator(world);
  await ready(operator, 'user');
  await own.tag('policymaker');
  // Nobody has noticed yet.
  await remove(world, 'user');
  await eventually(() => readyOf(operator, 'user')?.reason === 'NotAdministrator');
  expect(readyOf(operator, 'user')?.message).toContain('give it the tag administrator');
  expect(await usersOf(broker)).toHaveLength(1);
  expect(operator.told.map(({ reason }) => reason)).not.toContain('Deleted');
  await own.tag('administrator');
  await eventually(() => operator.source.publishers.get('shop/user') === undefined);
  expect(await usersOf(broker)).toEqual([]);
});

test('a deletion that the broker refuses, or fails at again and again, says so for a while and gives up', async () => {
  await using broker = await testBroker();
  const calls = recordCalls();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  for (const name of ['user', 'order']) await publisher(world, name);
  await using operator = await startFolderOperator(world, { calls, abandonAfterMs: 3_000 });
  for (const name of ['user', 'order']) await ready(operator, name);
  const failWith = (code: ManagementCode) => {
    calls.before = (call) => {
      if (call === 'deleteUser') throw new ManagementError(code, 'DELETE /api/users', 'not today');
    };
  };
  const gaveUp = async (name: string) => {
    await eventually(() => operator.source.publishers.get(`shop/${name}`) === undefined);
    const said = { type: 'Warning', reason: 'Abandoned', message: expect.stringContaining('not today') };
    expect(operator.told.at(-1)).toMatchObject({ name, ...said });
  };
  failWith('WARREN_BROKER_REFUSED');
  await remove(world, 'user');
  await eventually(() => readyOf(operator, 'user')?.reason === 'BrokerRefused');
  expect(readyOf(operator, 'user')?.message).toContain('not today');
  await gaveUp('user');

  failWith('WARREN_BROKER_FAILED');
  await remove(world, 'order');
  await gaveUp('order');
});

test('in a cluster: the Secret, its owner, a Secret that is somebody else’s, and the end', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  const { cluster, namespace } = world;
  const publishers = cluster.resource<PublisherResource>(publisherType);
  await cluster
    .resource<BrokerResource>(brokerType)
    .mergePatch({ name: namespace }, { spec: PER_SUBSCRIPTION });
  const apply = (name: string, spec: object = {}) =>
    publishers.apply({
      metadata: { name, namespace },
      spec: { brokerRef: { name: namespace }, ...spec },
    });
  const conditionOfOne = async (name: string) =>
    conditionOf((await publishers.find({ name, namespace }))?.status?.conditions, 'Ready');
  await apply('user', { events: ['UserCreated'] });
  await using operator = startClusterOperator(kubeconfig, world, { tidyAfterMs: 200 });
  await eventually(async () => (await conditionOfOne('user'))?.status === 'True');
  const uri = async () => (await world.secret('user-binding'))?.['uri'] ?? '';
  const before = await uri();
  expect(await publish(before, 'events', 'user.created')).toBe('ok');
  expect(await publish(before, 'events', 'order.placed')).toBe('refused');
  await eventually(async () => {
    operator.reset();
    await eventually(() => operator.calls.made.filter((name) => name === 'users').length >= 3);
    expect([operator.calls.writes, operator.writes]).toEqual([0, 0]);
    return true;
  });
  await world.kubectl('delete', 'secret', 'user-binding');
  await eventually(async () => ![before, ''].includes(await uri()));
  await eventually(async () => (await usersOf(broker)).length === 1);
  expect(await world.kubectl('get', 'epub')).toMatch(/user +True +\["UserCreated"\] +user-binding/);

  await world.kubectl('create', 'secret', 'generic', 'other-binding');
  await apply('other');
  await eventually(async () => (await conditionOfOne('other'))?.reason === 'BindingTaken');
  await world.subscribe('other', { events });
  await eventually(async () => (await conditionOfOne('other'))?.reason === 'NameTaken');

  // Other entries, and none that is too many.
  const policy = { mode: 'Shared' };
  const brokers = cluster.resource<BrokerResource>(brokerType);
  await brokers.mergePatch({ name: namespace }, { spec: { consumerCredentials: policy } });
  await eventually(async () => (await uri()) === broker.amqpUrl);
  expect(Object.keys((await world.secret('user-binding')) ?? {})).not.toContain('credentials-made');
  await brokers.mergePatch({ name: namespace }, { spec: PER_SUBSCRIPTION });
  await eventually(async () => userIn(await uri()).startsWith('publisher.'));

  await world.subscribe('user', { events });
  await eventually(async () => userIn(await uri()).startsWith(`${namespace}.user@`));
  await eventually(async () => (await conditionOfOne('user'))?.reason === 'NameTaken');
  for (const name of ['user', 'other']) await publishers.delete({ name, namespace });
  await eventually(async () => (await publishers.list({ namespace })).items.length === 0);
  await eventually(async () => (await usersOf(broker)).every((name) => !name.startsWith('publisher.')));
  expect(userIn(await uri())).toMatch(`${namespace}.user@`);
});
