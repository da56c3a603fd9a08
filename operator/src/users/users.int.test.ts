import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker, testKubernetes } from '@warren/environment/testing';
import { connectBroker } from '@warren/rabbitmq';
import { stringify } from 'yaml';
import { brokerType } from '../kubernetes/kubernetes-source.ts';
import type { BrokerResource } from '../resources.ts';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld, RunningOperator } from '../testing/folder-operator.ts';
import { kubernetesWorld, startClusterOperator } from '../testing/kubernetes-world.ts';
import { usersOf } from '../testing/made-users.ts';
import { ownUser } from '../testing/own-user.ts';
import { recordCallsUntilDeath } from '../testing/recording-client.ts';
import { virtualHost } from '../testing/virtual-host.ts';

const PER_SUBSCRIPTION = { consumerCredentials: { mode: 'PerSubscription' } };
const events = ['OrderPlaced'];

interface Access {
  uri: string;
  user: string;
}

async function accessOf({ state }: Pick<FolderWorld, 'state'>, name: string): Promise<Access> {
  const uri = await readFile(join(state, 'bindings', 'shop', name, 'uri'), 'utf8');
  return { uri, user: decodeURIComponent(new URL(uri).username) };
}

/** Whether somebody with these credentials is let in. */
async function isLetIn(uri: string): Promise<boolean> {
  await using connection = connectBroker({ url: uri, name: 'users-test' });
  const refused = new Promise<void>((resolve) => {
    connection.subscribe(({ state }) => {
      if (state === 'disconnected') resolve();
    });
  });
  await Promise.race([connection.opened().catch(() => undefined), refused]);
  return connection.isOpen;
}

/** What the broker answers to one call on a channel of its own: `ok`, or the refusal. */
async function answers(
  uri: string,
  call: (channel: Awaited<ReturnType<typeof openChannel>>['channel']) => Promise<unknown>,
): Promise<string> {
  const { channel, end } = await openChannel(uri);
  try {
    await call(channel);
    return 'ok';
  } catch (error) {
    return String(error).includes('ACCESS_REFUSED') || String(error).includes('closed')
      ? 'refused'
      : String(error);
  } finally {
    await end();
  }
}

async function openChannel(uri: string) {
  const connection = connectBroker({ url: uri, name: 'users-test' });
  const channel = await (await connection.opened()).createConfirmChannel();
  channel.on('error', () => undefined);
  return { channel, end: () => connection.close() };
}

async function ready(operator: RunningOperator, ...names: string[]): Promise<void> {
  await eventually(() => names.every((name) => isReady(operator, name)));
}

/** The EventPublisher `user`. */
async function publish({ folder }: FolderWorld, metadata: Record<string, unknown> = {}): Promise<void> {
  const user = { apiVersion: 'warren.events/v1alpha1', kind: 'EventPublisher', spec: {} };
  const of = { name: 'user', namespace: 'shop', ...metadata };
  await writeFile(join(folder, 'user.yaml'), stringify({ ...user, metadata: of }));
}

test('the loyalty service cannot read payment’s queue, nor change what is on the broker; it can do its work', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  await world.subscribe('payment', { events });
  await using operator = await startFolderOperator(world);
  await ready(operator, 'loyalty', 'payment');
  expect(operator.brokerCondition('ConsumerCredentials')).toMatchObject({ status: 'True' });
  const { uri, user } = await accessOf(world, 'loyalty');
  expect(user).toMatch(/^shop\.loyalty@/);
  const publish = (exchange: string, key: string) =>
    answers(uri, async (channel) => {
      channel.publish(exchange, key, Buffer.from('x'));
      await channel.waitForConfirms();
    });
  expect(await answers(uri, (channel) => channel.consume('shop.loyalty', () => undefined))).toBe('ok');
  expect(await publish('events', 'order.placed')).toBe('ok');
  expect(await publish('failed_events', 'shop.loyalty')).toBe('ok');
  expect(await answers(uri, (channel) => channel.consume('shop.payment', () => undefined))).toBe('refused');
  expect(await answers(uri, (channel) => channel.get('shop.payment'))).toBe('refused');
  expect(await answers(uri, (channel) => channel.purgeQueue('shop.payment'))).toBe('refused');
  expect(await publish('', 'shop.payment')).toBe('refused');
  expect(await answers(uri, (channel) => channel.deleteQueue('shop.loyalty'))).toBe('refused');
  expect(await answers(uri, (channel) => channel.bindQueue('shop.loyalty', 'events', '#'))).toBe('refused');
  expect(await answers(uri, (channel) => channel.assertQueue('mine'))).toBe('refused');

  const password = decodeURIComponent(new URL(uri).password);
  const said = JSON.stringify([operator.resource('loyalty'), operator.told, operator.source.brokers.list()]);
  expect(said).not.toContain(password);
});

test('nothing is written while nothing differs; what somebody changed by hand is put right, with the same password', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world);
  await ready(operator, 'loyalty');
  const { uri, user } = await accessOf(world, 'loyalty');
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((name) => name === 'users').length >= 3);
  expect(operator.calls.writes).toBe(0);

  await host.api.putPermission(user, { configure: '.*', write: '.*', read: '.*' });
  const permission = async () => (await host.api.permissions()).find((one) => one.user === user);
  await eventually(async () => (await permission())?.configure === '^$');
  await host.api.putUser({ name: user, passwordHash: '', tags: ['administrator'] });
  await eventually(async () => {
    const found = (await host.api.users()).find(({ name }) => name === user);
    return found?.tags.join() === 'warren' && found.passwordHash !== '';
  });
  await host.api.deleteUser(user);
  await eventually(async () => (await usersOf(broker)).includes(user) && (await permission()) !== undefined);
  expect((await accessOf(world, 'loyalty')).uri).toBe(uri);
  expect(await isLetIn(uri)).toBe(true);
});

test('a rotation is another user; the old one goes when nobody is connected as it', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world, { tidyAfterMs: 200 });
  await ready(operator, 'loyalty');
  const before = await accessOf(world, 'loyalty');
  {
    await using connection = connectBroker({ url: before.uri, name: 'an old consumer' });
    await connection.opened();
    await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/rotate': '2026-01' } });
    await eventually(async () => (await accessOf(world, 'loyalty')).user !== before.user);
    expect(await isLetIn((await accessOf(world, 'loyalty')).uri)).toBe(true);
    operator.calls.reset();
    await eventually(() => operator.calls.made.filter((name) => name === 'connectionsOf').length >= 2);
    expect(await usersOf(broker)).toContain(before.user);
    expect(connection.isOpen).toBe(true);
  }
  await eventually(async () => !(await usersOf(broker)).includes(before.user));
  const after = await accessOf(world, 'loyalty');
  expect(await usersOf(broker)).toEqual([after.user]);

  // A binding that is gone took the only copy of the password along.
  await rm(join(world.state, 'bindings', 'shop', 'loyalty'), { recursive: true });
  await eventually(async () => (await accessOf(world, 'loyalty').catch(() => after)).user !== after.user);
  await eventually(async () => (await usersOf(broker)).length === 1);
});

test('killed after any write of a rotation, what the binding says lets in, and nothing is left behind', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  {
    await using operator = await startFolderOperator(world);
    await ready(operator, 'loyalty');
  }
  for (let writes = 0; ; writes += 1) {
    await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/rotate': `r${writes}` } });
    const calls = recordCallsUntilDeath(writes);
    {
      await using dying = await startFolderOperator(world, { calls, tidyAfterMs: 0 });
      await eventually(
        async () =>
          calls.died || ((await rotationOf(world)) === `r${writes}` && (await usersOf(broker)).length === 1),
      );
      expect(await isLetIn((await accessOf(world, 'loyalty')).uri)).toBe(true);
      await dying.stop();
    }
    if (!calls.died) break;
  }
  await using last = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(last, 'loyalty');
  await eventually(async () => (await usersOf(broker)).length === 1);
  expect(await usersOf(broker)).toEqual([(await accessOf(world, 'loyalty')).user]);
});

test('killed between a new user and its binding, the next operator makes another and removes that one', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  {
    await using dying = await startFolderOperator(world);
    await ready(dying, 'loyalty');
    dying.source.writeBinding = () => Promise.reject(new Error('the process is dead'));
    await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/rotate': 'now' } });
    await eventually(async () => (await usersOf(broker)).length === 2);
  }
  const before = await accessOf(world, 'loyalty');
  expect(await isLetIn(before.uri)).toBe(true);
  await using next = await startFolderOperator(world, { tidyAfterMs: 0 });
  await eventually(async () => (await rotationOf(world)) === 'now' && (await usersOf(broker)).length === 1);
  expect(next.condition('loyalty', 'Ready')?.status).toBe('True');
  const after = await accessOf(world, 'loyalty');
  expect(after.user).not.toBe(before.user);
  expect(await usersOf(broker)).toEqual([after.user]);
});

test('in a cluster the Secret is the only copy: deleted, it comes back with another user; nothing is written while nothing differs', async () => {
  const { kubeconfig } = await testKubernetes();
  await using broker = await testBroker();
  await using world = await kubernetesWorld(kubeconfig, broker);
  const { cluster, namespace } = world;
  const brokers = cluster.resource<BrokerResource>(brokerType);
  await brokers.mergePatch({ name: namespace }, { spec: PER_SUBSCRIPTION });
  await world.subscribe('loyalty', { events });
  await using operator = startClusterOperator(kubeconfig, world, { tidyAfterMs: 200 });
  await eventually(() => world.isReady('loyalty'));
  const uri = async () => (await world.secret('loyalty-binding'))?.['uri'] ?? '';
  const before = await uri();
  expect(before).toMatch(new RegExp(`amqp://${namespace}\\.loyalty%40`));
  expect(await isLetIn(before)).toBe(true);
  // Its events and the first counts are written a moment after it is Ready.
  await eventually(async () => {
    operator.reset();
    await eventually(() => operator.calls.made.filter((name) => name === 'users').length >= 3);
    expect([operator.calls.writes, operator.writes]).toEqual([0, 0]);
    return true;
  });
  await world.kubectl('delete', 'secret', 'loyalty-binding');
  await eventually(async () => ![before, ''].includes(await uri()));
  expect(await isLetIn(await uri())).toBe(true);
  await eventually(async () => (await usersOf(broker)).length === 1);
  const { password } = new URL(await uri());
  const all = await world.kubectl('get', 'esub,ebroker,events', '-o', 'yaml');
  expect(all).toContain('ConsumerCredentials');
  expect(all).not.toContain(decodeURIComponent(password));
});

async function rotationOf({ state }: FolderWorld): Promise<string | undefined> {
  const file = join(state, 'bindings', 'shop', 'loyalty', 'credentials-rotation');
  return readFile(file, 'utf8').catch(() => undefined);
}

test('users go with their subscription, and with the mode', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await world.subscribe('payment', { events, deletionPolicy: 'Retain' });
  await world.subscribe('order', { events, deletionPolicy: 'Delete' });
  await using operator = await startFolderOperator(world, { tidyAfterMs: 0 });
  await ready(operator, 'loyalty', 'payment', 'order');
  expect(await usersOf(broker)).toHaveLength(3);
  await world.unsubscribe('loyalty');
  await world.unsubscribe('payment');
  await eventually(async () => (await usersOf(broker)).length === 1);
  await world.broker();
  await eventually(async () => (await usersOf(broker)).length === 0);
  expect((await accessOf(world, 'order')).uri).toBe(broker.amqpUrl);
  await eventually(() => operator.brokerCondition('ConsumerCredentials') === undefined);
});

/** A subscription and a publisher that have users of their own. */
async function twoUsers() {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const world = stack.use(await folderWorld(broker));
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  await publish(world);
  const operator = stack.use(await startFolderOperator(world));
  await ready(operator, 'loyalty');
  await eventually(async () => (await usersOf(broker)).length === 2);
  const before = await accessOf(world, 'loyalty');
  const all = stack.move();
  return { broker, world, operator, before, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

test('a namespace that may not use the broker any more is let in no more, and again with the same binding', async () => {
  await using t = await twoUsers();
  const { broker, world, operator, before } = t;
  const ended = Promise.withResolvers<undefined>();
  await using connection = connectBroker({ url: before.uri, name: 'a consumer' });
  await connection.opened();
  connection.subscribe(({ state }) => {
    if (state === 'disconnected') ended.resolve(undefined);
  });
  await world.broker({ ...PER_SUBSCRIPTION, allowedNamespaces: ['other'] });
  await ended.promise;
  await eventually(async () => (await usersOf(broker)).length === 0);
  expect(operator.condition('loyalty', 'Ready')?.reason).toBe('BrokerNotAllowed');
  await world.broker(PER_SUBSCRIPTION);
  await eventually(async () => (await usersOf(broker)).length === 2);
  expect(await usersOf(broker)).toContain(before.user);
  expect((await accessOf(world, 'loyalty')).uri).toBe(before.uri);
  expect(await isLetIn(before.uri)).toBe(true);
});

test.each(['paused', 'unmanaged'])(
  'a namespace that may not use the broker any more loses its users though they are %s; the queue and the rest stay',
  async (what) => {
    await using t = await twoUsers();
    const { broker, world, operator, before } = t;
    await using host = virtualHost(broker);
    const annotated = { annotations: { [`warren.events/${what}`]: 'true' } };
    await world.subscribe('loyalty', { events }, annotated);
    await publish(world, annotated);
    const reason = what === 'paused' ? 'Paused' : 'Unmanaged';
    await eventually(() => operator.told.filter((each) => each.reason === reason).length === 2);

    await world.broker({ ...PER_SUBSCRIPTION, allowedNamespaces: ['other'] });
    await eventually(async () => (await usersOf(broker)).length === 0);
    const told = () => operator.told.filter((each) => each.reason === 'BrokerNotAllowed');
    await eventually(() => told().length === 2);
    expect(operator.condition('loyalty', 'TopologyInSync')?.reason).toBe(reason);
    expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);
    // Nothing is made for them while they are so.
    await world.broker(PER_SUBSCRIPTION);
    await world.subscribe('loyalty', { events });
    await publish(world);
    await eventually(async () => (await usersOf(broker)).length === 2);
    expect((await accessOf(world, 'loyalty')).uri).toBe(before.uri);
    expect(told()).toHaveLength(2);
  },
);

test('a namespace that may not use the broker any more loses its users though the same edit lets everybody share one', async () => {
  await using t = await twoUsers();
  const { broker, world, operator } = t;
  await world.broker({ allowedNamespaces: ['other'] });
  await eventually(async () => (await usersOf(broker)).length === 0);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerNotAllowed');
});

test('without the right to make users nothing is handed out, and the EventBroker says what to do', async () => {
  await using broker = await testBroker();
  await using own = await ownUser(broker, 'policymaker');
  await using world = await folderWorld(own.access);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events });
  await world.subscribe('payment', { events, deletionPolicy: 'Delete' });
  await using operator = await startFolderOperator(world);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'NotAdministrator');
  await eventually(() => operator.condition('payment', 'Ready')?.reason === 'NotAdministrator');
  expect(operator.brokerCondition('ConsumerCredentials')).toMatchObject({
    status: 'False',
    reason: 'NotAdministrator',
    message: expect.stringContaining('give it the tag administrator'),
  });
  expect(operator.brokerCondition('Ready')).toMatchObject({ status: 'True' });
  await expect(accessOf(world, 'loyalty')).rejects.toThrow('ENOENT');
  expect(operator.told.filter(({ reason }) => reason === 'NotAdministrator')).toHaveLength(1);
  // It was handed nothing, so there is nothing to wait for.
  await world.unsubscribe('payment');
  await eventually(() => operator.resource('payment') === undefined);
  await own.tag('administrator');
  await ready(operator, 'loyalty');
  expect((await accessOf(world, 'loyalty')).user).toMatch(/^shop\.loyalty@/);
  await eventually(() => operator.brokerCondition('ConsumerCredentials')?.status === 'True');
});

test.each(['Delete', 'Retain'])(
  'a deletion (%s) waits for the right to remove its user, says so, and goes on by itself',
  async (deletionPolicy) => {
    await using broker = await testBroker();
    await using own = await ownUser(broker, 'administrator');
    await using world = await folderWorld(own.access);
    await world.broker(PER_SUBSCRIPTION);
    await world.subscribe('loyalty', { events, deletionPolicy });
    await using operator = await startFolderOperator(world);
    await ready(operator, 'loyalty');
    await own.tag('policymaker');
    await eventually(() => operator.brokerCondition('ConsumerCredentials')?.status === 'False');
    await world.unsubscribe('loyalty');
    await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'NotAdministrator');
    expect(operator.condition('loyalty', 'Ready')?.message).toContain('give it the tag administrator');
    expect(await usersOf(broker)).toHaveLength(1);
    await own.tag('administrator');
    await eventually(() => operator.resource('loyalty') === undefined);
    expect(await usersOf(broker)).toEqual([]);
  },
);

test('a deletion gives up a user that it may not remove after a while, and says that it may be left', async () => {
  await using broker = await testBroker();
  await using own = await ownUser(broker, 'administrator');
  await using world = await folderWorld(own.access);
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Retain' });
  await using operator = await startFolderOperator(world, { abandonAfterMs: 1_000, tidyAfterMs: 0 });
  await ready(operator, 'loyalty');
  await own.tag('policymaker');
  await eventually(() => operator.brokerCondition('ConsumerCredentials')?.status === 'False');
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  const given = operator.told.find(({ reason }) => reason === 'Abandoned');
  expect(given?.message).toContain('should its user be left on the broker');
  expect(await usersOf(broker)).toHaveLength(1);
  await own.tag('administrator');
  await eventually(async () => (await usersOf(broker)).length === 0);
});
