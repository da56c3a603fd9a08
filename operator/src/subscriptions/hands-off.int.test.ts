import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { ManagementError } from '@warren/rabbitmq';
import { isReady } from '../testing/folder-operator.ts';
import { recordCalls } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { claim, release } from '../testing/takeover-world.ts';

const events = ['OrderPlaced'];
const paused = { annotations: { 'warren.events/paused': 'true' } };
const unmanaged = { annotations: { 'warren.events/unmanaged': 'true' } };

test('paused: drift stays, edits wait, nothing is written; without the annotation all of it is done', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, world, host } = shop;
  await world.subscribe('loyalty', { events }, paused);
  const inSync = () => operator.condition('loyalty', 'TopologyInSync');
  await eventually(() => inSync()?.reason === 'Paused');
  expect(inSync()).toMatchObject({ status: 'Unknown', reason: 'Paused' });
  expect(operator.condition('loyalty', 'Ready')).toMatchObject({ status: 'True', reason: 'Paused' });

  await host.api.deleteQueue('shop.loyalty');
  await world.subscribe('loyalty', { events: ['OrderPlaced', 'PaymentApproved'] }, paused);
  await eventually(() => operator.resource('loyalty')?.metadata.generation === 2);
  const { statusWrites } = operator;
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 3);
  expect(operator.calls.writes).toBe(0);
  expect(operator.statusWrites).toBe(statusWrites);
  // The spec that was last acted on.
  expect(operator.resource('loyalty')?.status?.observedGeneration).toBe(1);

  await world.subscribe('loyalty', { events: ['OrderPlaced', 'PaymentApproved'] });
  await eventually(() => inSync()?.status === 'True');
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
  const told = operator.told.map(({ type, reason }) => `${type} ${reason}`);
  expect(told.filter((one) => /Paused|Drifted/.test(one))).toEqual(['Normal Paused']);
});

test('deleted while paused, it goes at once and leaves its queues, and a subscription of its name takes them up', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events, deletionPolicy: 'Delete' } });
  const { operator, world, host } = shop;
  await host.publish('order.placed', ['kept']);
  await world.subscribe('loyalty', { events, deletionPolicy: 'Delete' }, paused);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Paused');
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Retained' });

  await world.subscribe('loyalty', { events });
  await eventually(() => isReady(operator, 'loyalty'));
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 1);
});

test('released to one that is paused, it works on, and its deletion waits for nobody', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, world, host } = shop;
  await world.subscribe('points', { events }, claim);
  await eventually(() => operator.condition('points', 'Ready')?.reason === 'ClaimPending');
  const claimingPaused = { annotations: { ...claim.annotations, ...paused.annotations } };
  await world.subscribe('points', { events }, claimingPaused);
  await eventually(() => operator.condition('points', 'Ready')?.reason === 'Paused');
  await world.subscribe('loyalty', { events: ['OrderPlaced', 'PaymentApproved'] }, release);
  await eventually(() => operator.condition('loyalty', 'Released')?.reason === 'WaitingForClaim');
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True');
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(await host.api.queue('shop.loyalty')).toBeUndefined();
});

test('released to one that cannot begin, its deletion gives up and leaves its queues', async () => {
  const calls = recordCalls();
  const tuning = { calls, abandonAfterMs: 1_000 };
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } }, tuning);
  const { operator, world, host } = shop;
  calls.before = (call) => {
    if (call === 'declareQueue')
      throw new ManagementError('WARREN_BROKER_REFUSED', 'declare queue', 'not allowed');
  };
  await world.subscribe('points', { events }, claim);
  await world.subscribe('loyalty', { events }, release);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Releasing');
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.findLast(({ name }) => name === 'loyalty')).toMatchObject({
    type: 'Warning',
    reason: 'Abandoned',
    message: expect.stringContaining('shop/points has not begun to take over the queues shop.loyalty'),
  });
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);
});

test('unmanaged: the finalizer goes, queue and settings stay; taken back it knows its own, even without their policy', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, world, host } = shop;
  const settings = await host.policyOf('shop.loyalty');
  await world.subscribe('loyalty', { events }, unmanaged);
  await eventually(() => operator.resource('loyalty')?.metadata.finalizers === undefined);
  expect(operator.condition('loyalty', 'TopologyInSync')).toMatchObject({
    status: 'Unknown',
    reason: 'Unmanaged',
  });
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 3);
  expect(operator.calls.writes).toBe(0);
  expect(await host.policyOf('shop.loyalty')).toEqual(settings);
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);

  for (const { name } of (await host.api.inventory()).policies) await host.api.deletePolicy(name);
  // Looked at twice: the second reading began after that.
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'inventory').length >= 2);
  await world.subscribe('loyalty', { events });
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True');
  expect(operator.resource('loyalty')?.metadata.finalizers).toHaveLength(1);
  expect(await host.policyOf('shop.loyalty')).toEqual(settings);
  expect(operator.told.filter(({ type }) => type === 'Warning')).toEqual([]);
});

test('unmanaged, it holds nothing up: deleted, its queues stay, also those of somebody else that it never had', async () => {
  await using shop = await shopWorld(await testBroker());
  const { operator, world, host } = shop;
  await host.declareByHand('shop.loyalty');
  await world.subscribe('loyalty', { events });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
  // Whose the virtual host is has been marked by then.
  const { writes } = operator.calls;
  await world.subscribe('loyalty', { events }, unmanaged);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Unmanaged');
  await world.subscribe('loyalty', { events });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
  expect(operator.calls.writes).toBe(writes);
  await world.subscribe('loyalty', { events }, unmanaged);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Unmanaged');
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(await host.api.queue('shop.loyalty')).toBeDefined();
});

test('adopted: messages, consumers and foreign bindings stay, bindings to the events that are not wanted go and are told', async () => {
  await using shop = await shopWorld(await testBroker());
  const { operator, world, host } = shop;
  const durable = { durable: true, autoDelete: false };
  const args = {
    'x-queue-type': 'quorum',
    'x-dead-letter-exchange': 'failed_events',
    'x-dead-letter-routing-key': 'shop.loyalty',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
  await host.declareByHand('shop.loyalty', args);
  for (const name of ['events', 'legacy']) {
    await host.api.declareExchange({ name, type: 'topic', ...durable, arguments: {} });
    await host.api.bind({
      source: name,
      destination: 'shop.loyalty',
      destinationType: 'queue',
      routingKey: '#',
      arguments: {},
    });
  }
  await host.publish('order.placed', ['kept']);
  await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/adopt': 'true' } });
  await eventually(() => isReady(operator, 'loyalty'));
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed']);
  expect((await host.api.bindingsOf('shop.loyalty')).some(({ source }) => source === 'legacy')).toBe(true);
  expect(operator.told.find(({ reason }) => reason === 'Applied')?.message).toContain(
    'unbind shop.loyalty from events by #',
  );
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 1);
});
