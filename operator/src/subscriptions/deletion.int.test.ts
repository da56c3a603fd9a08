import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { ManagementError } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import { recordCalls, recordCallsUntilDeath } from '../testing/recording-client.ts';
import { readSettingsOf, virtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];

test('Retain leaves the queue bound, with its policy and its messages, for a later subscription of its name', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Retain' });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  await host.publish('order.placed', ['before']);

  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  await host.publish('order.placed', ['after']);
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 2);
  expect(await host.policyOf('shop.loyalty')).toMatchObject({ 'delivery-limit': 25 });

  await world.subscribe('loyalty', { events: ['OrderPlaced', 'PaymentApproved'] });
  await eventually(() => isReady(operator, 'loyalty'));
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
  expect((await host.api.queue('shop.loyalty'))?.messages).toBe(2);
});

test('Delete deletes everything at once, messages too, and leaves no policy behind', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  await host.publish('order.placed', ['gone']);

  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  const { queues, bindings, policies } = await host.api.inventory();
  expect({ queues, bindings, policies }).toEqual({ queues: [], bindings: [], policies: [] });
  await expect(readSettingsOf(world.state, 'loyalty')).rejects.toThrow('ENOENT');
});

test('DeleteWhenEmpty keeps what holds messages, says so, takes no new ones, and deletes it once it is drained', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  const settings = await readSettingsOf(world.state, 'loyalty');
  await host.publish('order.placed', ['a', 'b']);

  await world.unsubscribe('loyalty');
  await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
  expect(operator.condition('loyalty', 'Ready')?.message).toContain('shop.loyalty still holds messages');
  expect(await host.keysOf('shop.loyalty')).toEqual([]);
  expect(operator.told.filter(({ reason }) => reason === 'MessagesLeft')).toHaveLength(1);

  const seen: string[] = [];
  host.consume(settings, ({ content }) => {
    seen.push(content.toString());
    return Promise.resolve();
  });
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(seen.sort()).toEqual(['a', 'b']);
  const { queues, policies } = await host.api.inventory();
  expect({ queues, policies }).toEqual({ queues: [], policies: [] });
  expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });
});

test('a message that arrives in the last moment before the unbinding is not deleted with the queue', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  const calls = recordCalls();
  await using operator = await startFolderOperator(world, { calls });
  await eventually(() => isReady(operator, 'loyalty'));
  // The broker's counts do not know of it for some seconds.
  calls.before = (call) => (call === 'unbind' ? host.publish('order.placed', ['late']) : undefined);
  await world.unsubscribe('loyalty');
  await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
  // Counted once more while it could still be deleted in between.
  expect(operator.calls.made).not.toContain('deleteQueue');
  expect((await host.api.queue('shop.loyalty'))?.messages).toBe(1);
});

test('a dead letter that no count knows of yet is not deleted with its queue', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  const calls = recordCalls();
  await using operator = await startFolderOperator(world, { calls, resyncMs: 30_000 });
  await eventually(() => isReady(operator, 'loyalty'));
  // A consumer sets the last message of the queue aside just before the reading that finds everything empty.
  const dead = { exchange: 'failed_events', routingKey: 'shop.loyalty', content: Buffer.from('dead') };
  let readings = 0;
  calls.before = async (call) => {
    if (call !== 'inventory') return;
    readings += 1;
    if (readings === 2) await host.publisher.publish(dead);
  };
  await world.unsubscribe('loyalty');
  await eventually(() => operator.told.some(({ reason }) => reason === 'MessagesLeft'));
  expect(operator.condition('loyalty', 'Ready')?.message).toContain('shop.loyalty.dead still holds messages');
  expect(operator.calls.made).not.toContain('deleteQueue');
});

test('a file that comes back cancels the deletion', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  await host.publish('order.placed', ['kept']);
  await world.unsubscribe('loyalty');
  await eventually(async () => (await host.keysOf('shop.loyalty')).length === 0);

  await world.subscribe('loyalty', { events });
  await eventually(async () => (await host.keysOf('shop.loyalty')).length === 1);
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 1);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toEqual([]);
});

test('an operator that dies after any of its writes is followed by one that finishes the deletion', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  for (let survived = 0; ; survived += 1) {
    await using first = await startFolderOperator(world);
    await eventually(() => isReady(first, 'loyalty'));
    await first.stop();
    const calls = recordCallsUntilDeath(survived);
    const dying = await startFolderOperator(world, { calls });
    await eventually(() => isReady(dying, 'loyalty'));
    await world.unsubscribe('loyalty');
    await eventually(() => calls.died || dying.resource('loyalty') === undefined);
    await dying.stop();
    await using next = await startFolderOperator(world);
    await eventually(() => next.resource('loyalty') === undefined);
    const { queues, policies } = await host.api.inventory();
    expect({ queues, policies }).toEqual({ queues: [], policies: [] });
    if (!calls.died) {
      expect(survived).toBeGreaterThan(3);
      return;
    }
    await next.stop();
    await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' });
  }
});

test('with the broker gone for good a deletion gives up after a while, and says what may be left', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.subscribe('loyalty', { events });
  const calls = recordCalls();
  await using operator = await startFolderOperator(world, { calls, abandonAfterMs: 1_500 });
  await eventually(() => isReady(operator, 'loyalty'));
  calls.before = () => {
    throw new ManagementError('WARREN_BROKER_UNREACHABLE', 'any call', 'connect ECONNREFUSED');
  };
  await world.unsubscribe('loyalty');
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerUnavailable');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.at(-1)).toMatchObject({
    type: 'Warning',
    reason: 'Abandoned',
    message: expect.stringContaining('shop.loyalty and shop.loyalty.dead may be left on the broker'),
  });
});

test('an EventBroker that is deleted together with its subscriptions is used until their queues are gone', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events });
  await world.subscribe('payment', { events, deletionPolicy: 'Delete' });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty') && isReady(operator, 'payment'));

  await world.unsubscribe('00-broker');
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerNotFound');
  await world.unsubscribe('loyalty');
  await world.unsubscribe('payment');
  await eventually(() => operator.source.subscriptions.list().length === 0);
  expect((await host.api.inventory()).queues).toEqual([]);

  await world.broker();
  await world.subscribe('loyalty', { events });
  await eventually(() => isReady(operator, 'loyalty'));
});
