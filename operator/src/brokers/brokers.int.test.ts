import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { stringify } from 'yaml';
import { conditionOf } from '../conditions.ts';
import { folderWorld, isReady, readKeysOf, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld, RunningOperator } from '../testing/folder-operator.ts';
import type { VirtualHost } from '../testing/virtual-host.ts';
import { virtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];
/** An EventBroker that takes nothing from anybody. */
const polite = { annotations: {} };

async function addBroker(
  { folder, state }: FolderWorld,
  name: string,
  access?: { amqpUrl: string; managementUrl: string },
  spec: Record<string, unknown> = {},
): Promise<void> {
  const secrets = join(state, 'secrets', 'warren-system');
  if (access === undefined) await cp(join(secrets, 'rabbitmq'), join(secrets, name), { recursive: true });
  else {
    await mkdir(join(secrets, name), { recursive: true });
    await writeFile(join(secrets, name, 'uri'), access.amqpUrl);
    await writeFile(join(secrets, name, 'management-uri'), access.managementUrl);
  }
  await writeFile(
    join(folder, `broker-${name}.yaml`),
    stringify({
      apiVersion: 'warren.events/v1alpha1',
      kind: 'EventBroker',
      metadata: { name },
      spec: { secretRef: { namespace: 'warren-system', name }, ...spec },
    }),
  );
}

const queuesOf = async ({ api }: VirtualHost) =>
  (await api.inventory()).queues.map(({ name }) => name).sort();
const readyOf = (operator: RunningOperator, broker: string) =>
  conditionOf(operator.source.brokers.get(broker)?.status?.conditions, 'Ready');

test('two operators on one virtual host: the second says whose it is and touches nothing, until it is told to take it over', async () => {
  await using broker = await testBroker();
  await using host = virtualHost(broker);
  await using world = await folderWorld(broker);
  await world.broker({}, polite);
  await world.subscribe('loyalty', { events });
  await using first = await startFolderOperator(world);
  await eventually(() => isReady(first, 'loyalty'));

  await using other = await folderWorld(broker);
  await other.broker({}, polite);
  await other.subscribe('loyalty', { events: ['PaymentApproved'] });
  await using second = await startFolderOperator(other);
  await eventually(() => readyOf(second, 'default')?.reason === 'VirtualHostTaken');
  expect(readyOf(second, 'default')?.message).toMatch(
    /^EventBroker "default" \(uid .*\) of another cluster or folder has the virtual host: .*warren\.events\/adopt=true$/,
  );
  await eventually(() => second.condition('loyalty', 'Ready')?.reason === 'BrokerUnavailable');
  await eventually(() => second.calls.made.filter((call) => call === 'overview').length >= 4);
  expect(second.calls.writes).toBe(0);
  expect(second.told.filter(({ reason }) => reason === 'VirtualHostTaken')).toHaveLength(1);
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);

  // Taken over: now the first one is out, and does not take it back although it might.
  await other.broker({}, { annotations: { 'warren.events/adopt': 'true' } });
  await eventually(() => isReady(second, 'loyalty'));
  await eventually(() => readyOf(first, 'default')?.reason === 'VirtualHostTaken');
  await world.broker({}, { annotations: { 'warren.events/adopt': 'true' }, labels: { touched: 'true' } });
  expect(await host.keysOf('shop.loyalty')).toEqual(['payment.approved']);
});

test('two EventBrokers that name one virtual host: one has it, and gives it back when it is deleted', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker({}, polite);
  await using operator = await startFolderOperator(world);
  await eventually(() => readyOf(operator, 'default')?.status === 'True');
  await addBroker(world, 'second');
  await world.subscribe('loyalty', { events, brokerRef: { name: 'second' } });
  await eventually(() => readyOf(operator, 'second')?.reason === 'VirtualHostTaken');
  expect(readyOf(operator, 'second')?.message).toContain(
    'EventBroker "default" of this cluster has the virtual host',
  );
  await world.unsubscribe('00-broker');
  await eventually(() => isReady(operator, 'loyalty'));
});

test('several brokers and virtual hosts at once, with exchanges of their own names, each on its own', async () => {
  await using one = await testBroker();
  await using two = await testBroker();
  await using hostOne = virtualHost(one);
  await using hostTwo = virtualHost(two);
  await using world = await folderWorld(one);
  await addBroker(world, 'second', two, { exchanges: { events: 'facts', failedEvents: 'failed_facts' } });
  await world.subscribe('loyalty', { events });
  await world.subscribe('payment', { events, brokerRef: { name: 'second' } });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty') && isReady(operator, 'payment'));
  expect(await queuesOf(hostOne)).toEqual(['shop.loyalty', 'shop.loyalty.dead']);
  expect(await queuesOf(hostTwo)).toEqual(['shop.payment', 'shop.payment.dead']);
  const sources = async ({ api }: VirtualHost, queue: string) =>
    (await api.bindingsOf(queue)).map(({ source }) => source);
  expect(await sources(hostTwo, 'shop.payment')).toEqual(['facts']);
  expect(await sources(hostTwo, 'shop.payment.dead')).toEqual(['failed_facts']);
  expect(await readKeysOf(world.state, 'payment')).toMatchObject({
    uri: two.amqpUrl,
    'events-exchange': 'facts',
    'dead-letter-exchange': 'failed_facts',
  });

  // An outage of the one is nothing to the other.
  await writeFile(
    join(world.state, 'secrets', 'warren-system', 'second', 'management-uri'),
    'http://127.0.0.1:1',
  );
  await eventually(() => readyOf(operator, 'second')?.reason === 'Unreachable');
  await hostOne.api.deleteQueue('shop.loyalty');
  await eventually(async () => (await hostOne.keysOf('shop.loyalty')).length === 1);
  expect(readyOf(operator, 'default')?.status).toBe('True');

  // By another name every queue would have to be made anew.
  await addBroker(world, 'second', two, { exchanges: { events: 'others', failedEvents: 'failed_facts' } });
  await eventually(() => operator.source.problems.length > 0);
  expect(operator.source.problems[0]).toContain('queues and publishers depend on these names');
});

test('an EventBroker deleted in use says who uses it, holds nothing up, and what it had stays', async () => {
  await using broker = await testBroker();
  await using host = virtualHost(broker);
  await using world = await folderWorld(broker);
  for (const name of ['loyalty', 'payment']) await world.subscribe(name, { events });
  await using operator = await startFolderOperator(world, { abandonAfterMs: 60_000 });
  await eventually(() => isReady(operator, 'loyalty') && isReady(operator, 'payment'));
  await eventually(() => operator.source.brokers.get('default')?.status?.subscriptions === 2);
  await world.unsubscribe('00-broker');
  await eventually(() => operator.source.brokers.get('default') === undefined);
  await eventually(() => operator.told.some(({ reason }) => reason === 'DeletedInUse'));
  const story = operator.told.find(({ reason }) => reason === 'DeletedInUse');
  expect(story?.message).toContain('2 subscriptions use it (shop/loyalty, shop/payment)');
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerNotFound');
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);
  // It is there again: nothing is made anew.
  await world.broker();
  await eventually(() => isReady(operator, 'loyalty') && isReady(operator, 'payment'));
});
