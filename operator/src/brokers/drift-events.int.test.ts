import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, manage } from '@warren/environment/testing';
import type { DedicatedBroker } from '@warren/environment/testing';
import { topicExchange } from '@warren/topology';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import type { RunningOperator } from '../testing/folder-operator.ts';
import { virtualHost } from '../testing/virtual-host.ts';
import { DriftEvents } from './drift-events.ts';

/** So long that whatever is noticed in these tests was not noticed by the comparison. */
const NEVER = { resyncMs: 3_600_000 };
const events = ['OrderPlaced', 'PaymentApproved'];

// A broker with the plug-in; the one that runs may be older than it.
let broker: DedicatedBroker;
beforeAll(async () => {
  // With settings it is no container, and its plug-ins can be switched.
  broker = await dedicatedBroker({ settings: [] });
});
afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

/** @param path what follows `/api/` */
async function administer(method: string, path: string, body?: unknown): Promise<void> {
  await manage(broker.managementUrl, method, `/api/${path}`, body);
}

const all = { configure: '.*', write: '.*', read: '.*' };

/** A virtual host beside `/`, where the events are told. */
async function virtualHostFor(user: string, vhost: string) {
  await administer('PUT', `vhosts/${vhost}`, { default_queue_type: 'quorum' });
  await administer('PUT', `permissions/${vhost}/${user}`, all);
  return {
    vhost,
    amqpUrl: new URL(`/${vhost}`, broker.amqpUrl).href,
    managementUrl: broker.managementUrl,
    [Symbol.asyncDispose]: () => administer('DELETE', `vhosts/${vhost}`),
  };
}

const repairs = (operator: RunningOperator) =>
  operator.told.filter(({ reason }) => reason === 'Repaired').length;
/** Each time that the broker is looked at as a whole. */
const looks = (operator: RunningOperator) => operator.calls.made.filter((call) => call === 'overview').length;

test('what is changed by hand is repaired when the broker tells of it, on any virtual host, again after a lost connection', async () => {
  await using access = await virtualHostFor('guest', 'drift');
  await using host = virtualHost(access);
  await using root = virtualHost(broker);
  await using world = await folderWorld(access);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world, NEVER);
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'Listening');

  await host.api.deleteQueue('shop.loyalty');
  await eventually(() => repairs(operator) === 1);
  await host.unbindByHand('shop.loyalty', 'order.placed');
  await eventually(() => repairs(operator) === 2);
  const { policy = '' } = (await host.api.queue('shop.loyalty')) ?? {};
  await host.api.deletePolicy(policy);
  await eventually(() => repairs(operator) === 3);
  await host.api.deleteExchange('failed_events');
  await eventually(() => repairs(operator) === 4);

  const listening = async () =>
    (await root.api.connections())
      .filter(({ clientName }) => clientName === 'warren-operator: events')
      .map(({ name }) => name);
  await eventually(async () => (await listening()).length === 1);
  const [before = ''] = await listening();
  await root.api.closeConnection(before, 'test');
  await eventually(async () => (await listening()).some((name) => name !== before));
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'Listening');
  await host.api.deleteQueue('shop.loyalty.dead');
  await eventually(() => repairs(operator) === 5);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toHaveLength(5);
});

test('a policy of somebody else that comes to win is named at once, and forgotten when it goes', async () => {
  await using access = await virtualHostFor('guest', 'policies');
  await using host = virtualHost(access);
  await using world = await folderWorld(access);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world, NEVER);
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'Listening');
  const inSync = () => operator.condition('loyalty', 'TopologyInSync');

  const definition = { 'max-length': 7 };
  const theirs = { name: 'theirs', pattern: 'dead$', applyTo: 'queues', priority: 99, definition };
  await host.api.putPolicy(theirs);
  await eventually(() => inSync()?.reason === 'PolicyOverridden');
  expect(inSync()?.message).toContain('policy "theirs" (priority 99) applies to shop.loyalty.dead');
  await host.api.deletePolicy('theirs');
  await eventually(() => inSync()?.reason === 'InSync');

  await administer('PUT', 'operator-policies/policies/limits', {
    pattern: '^shop',
    'apply-to': 'queues',
    definition: { 'delivery-limit': 3 },
  });
  await eventually(() => inSync()?.reason === 'PolicyOverridden');
  expect(inSync()?.message).toContain(
    'operator policy "limits" sets delivery-limit 3 for shop.loyalty instead of Warren\'s 25',
  );
  await administer('DELETE', 'operator-policies/policies/limits');
  await eventually(() => inSync()?.reason === 'InSync');
  expect(operator.told.filter(({ type }) => type === 'Warning').map(({ reason }) => reason)).toEqual([
    'PolicyOverridden',
    'PolicyOverridden',
  ]);
});

test('what the operator makes itself is no news: a hundred subscriptions cost no further look', async () => {
  await using access = await virtualHostFor('guest', 'storm');
  await using world = await folderWorld(access);
  await using operator = await startFolderOperator(world, NEVER);
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'Listening');
  operator.calls.reset();
  const names = Array.from({ length: 100 }, (_, index) => `s${index}`);
  for (const name of names) await world.subscribe(name, { events });
  await eventually(() => names.every((name) => isReady(operator, name)));
  // What is told now comes after all that was told of them, and in one event.
  await using host = virtualHost(access);
  await host.unbindByHand('shop.s0', 'order.placed');
  await eventually(() => repairs(operator) === 1);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toHaveLength(1);
  expect(looks(operator)).toBe(1);
});

test('a queue that somebody made since the last look is found by who is new, among many others', async () => {
  await using access = await virtualHostFor('guest', 'strangers');
  await using host = virtualHost(access);
  await using world = await folderWorld(access);
  await using operator = await startFolderOperator(world, NEVER);
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'Listening');
  await host.declareByHand('shop.s30.dead', { 'x-queue-type': 'classic' });
  const names = Array.from({ length: 60 }, (_, index) => `s${index}`);
  for (const name of names) await world.subscribe(name, { events });
  const others = names.filter((name) => name !== 's30');
  await eventually(() => others.every((name) => isReady(operator, name)));
  await eventually(() => operator.condition('s30', 'Ready')?.reason === 'Conflict');
  expect(operator.condition('s30', 'Ready')?.message).toContain('shop.s30.dead');
  expect(await host.api.queue('shop.s30')).toBeUndefined();
  expect(await host.api.queue('shop.s30.dead')).toMatchObject({ type: 'classic' });
});

test('a user who may not see the exchange is told once what is missing, and the comparison goes on', async () => {
  await using access = await virtualHostFor('guest', 'least');
  await administer('PUT', 'users/least', { password: 'least', tags: 'policymaker' });
  await administer('PUT', 'permissions/least/least', all);
  const as = (url: string) => url.replace('guest:guest', 'least:least');
  await using world = await folderWorld({
    amqpUrl: as(access.amqpUrl),
    managementUrl: as(access.managementUrl),
  });
  await using host = virtualHost(access);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(() => operator.brokerCondition('DriftEvents')?.reason === 'NoEventExchange');
  expect(operator.brokerCondition('DriftEvents')?.message).toContain(
    'no exchange amq.rabbitmq.event in least or / that this user may see',
  );
  await host.api.deleteQueue('shop.loyalty');
  await eventually(() => repairs(operator) === 1);

  // It may see the exchange, and not read from it.
  await administer('PUT', 'permissions/%2F/least', {
    configure: '^amq\\.gen',
    write: '^amq\\.gen',
    read: '^$',
  });
  await using other = await startFolderOperator(world);
  await eventually(() => other.brokerCondition('DriftEvents')?.reason === 'Forbidden');
  await eventually(() => other.told.some(({ reason }) => reason === 'DriftEventsForbidden'));
  await eventually(() => other.calls.made.filter((call) => call === 'overview').length >= 4);
  expect(other.told.filter(({ reason }) => reason === 'DriftEventsForbidden')).toHaveLength(1);
  await administer('DELETE', 'users/least');
});

test('that the plug-in was disabled while it was listened to is noticed, and that it was enabled again', async () => {
  await using access = await virtualHostFor('guest', 'switched');
  await using host = virtualHost(access);
  let news = 0;
  const events = new DriftEvents({
    amqp: { url: access.amqpUrl },
    vhost: access.vhost,
    locate: () => host.api.eventExchangeAt(),
    found: () => undefined,
    isOurs: () => true,
    isWriting: () => false,
    onNews: () => (news += 1),
    onChange: () => undefined,
    againMs: 100,
  });
  await using _closing = { [Symbol.asyncDispose]: () => events.close() };
  const is = (state: string) =>
    eventually(
      async () => {
        await events.keep();
        const { watching } = events;
        return (watching.state === 'listening' ? watching.state : watching.reason) === state;
      },
      { timeoutMs: 60_000 },
    );
  await is('listening');

  await broker.switchPlugin('rabbitmq_event_exchange', 'disable');
  await is('NoEventExchange');

  await broker.switchPlugin('rabbitmq_event_exchange', 'enable');
  await is('listening');
  news = 0;
  await host.api.declareExchange(topicExchange('news'));
  await eventually(() => news > 0);
});
