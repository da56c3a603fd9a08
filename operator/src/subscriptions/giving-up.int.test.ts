import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { ManagementError } from '@warren/rabbitmq';
import { recordCalls } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { readSettingsOf } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];

test.concurrent(
  'with the broker gone for good a deletion gives up after a while, and says what may be left',
  async () => {
    const calls = recordCalls();
    await using shop = await shopWorld(
      await testBroker(),
      { loyalty: { events } },
      { calls, abandonAfterMs: 1_500 },
    );
    const { operator, world } = shop;
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
  },
);

test.concurrent(
  'a deletion that has long waited for its messages has all its patience with a broker that goes, or refuses, now',
  async () => {
    const calls = recordCalls();
    const abandonAfterMs = 5_000;
    await using shop = await shopWorld(
      await testBroker(),
      { loyalty: { events }, payment: { events } },
      { calls, abandonAfterMs },
    );
    const { operator, world, host } = shop;
    const settings = await readSettingsOf(world.state, 'loyalty');
    const says = (name: string, reason: string) => operator.condition(name, 'Ready')?.reason === reason;
    const bothSay = (reason: string) => says('loyalty', reason) && says('payment', reason);
    const goAway = () => {
      calls.before = () => {
        throw new ManagementError('WARREN_BROKER_UNREACHABLE', 'any call', 'connect ECONNREFUSED');
      };
    };
    await host.publish('order.placed', ['left']);
    for (const name of ['loyalty', 'payment']) await world.unsubscribe(name);
    await eventually(() => bothSay('MessagesLeft'));
    const { deletionTimestamp = '' } = operator.resource('payment')?.metadata ?? {};
    await eventually(() => Date.now() > Date.parse(deletionTimestamp) + abandonAfterMs);

    goAway();
    await eventually(() => bothSay('BrokerUnavailable'));
    calls.before = (call) => {
      if (call === 'deleteQueue')
        throw new ManagementError('WARREN_BROKER_FORBIDDEN', 'delete queue', 'configure access refused');
    };
    await eventually(() => bothSay('MessagesLeft'));

    host.consume(settings, () => Promise.resolve());
    await eventually(() => says('loyalty', 'BrokerRefused'), { timeoutMs: 40_000 });
    calls.before = () => undefined;
    await eventually(() => operator.resource('loyalty') === undefined);
    expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });

    const wentAt = performance.now();
    goAway();
    await eventually(() => operator.resource('payment') === undefined);
    expect(performance.now() - wentAt).toBeGreaterThan(abandonAfterMs);
    expect(operator.told.at(-1)).toMatchObject({ name: 'payment', reason: 'Abandoned' });
  },
  120_000,
);

test.concurrent('a deletion that the broker refuses goes on when it may, and else gives up', async () => {
  const calls = recordCalls();
  const subscription = { events, deletionPolicy: 'Delete' };
  await using shop = await shopWorld(
    await testBroker(),
    { loyalty: subscription, payment: subscription },
    { calls, abandonAfterMs: 3_000 },
  );
  const { operator, world } = shop;
  const mayNot = () => {
    throw new ManagementError('WARREN_BROKER_FORBIDDEN', 'delete queue', 'configure access refused');
  };
  const isRefused = (name: string) => operator.condition(name, 'Ready')?.reason === 'BrokerRefused';
  calls.before = (call) => (call === 'deleteQueue' ? mayNot() : undefined);
  await world.unsubscribe('loyalty');
  await eventually(() => isRefused('loyalty'));
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.at(-1)).toMatchObject({
    type: 'Warning',
    reason: 'Abandoned',
    message: expect.stringMatching(/may be left on the broker: .*configure access refused/),
  });

  await world.unsubscribe('payment');
  await eventually(() => isRefused('payment'));
  calls.before = () => undefined;
  await eventually(() => operator.resource('payment') === undefined);
  expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });
});

test.concurrent('a deletion at which a broker fails again and again, and answers, gives up too', async () => {
  const calls = recordCalls();
  const loyalty = { events, deletionPolicy: 'Delete' };
  await using shop = await shopWorld(await testBroker(), { loyalty }, { calls, abandonAfterMs: 1_000 });
  const { operator, world } = shop;
  calls.before = (call) => {
    if (call === 'deleteQueue')
      throw new ManagementError('WARREN_BROKER_FAILED', 'delete queue', 'no quorum');
  };
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.at(-1)).toMatchObject({
    type: 'Warning',
    reason: 'Abandoned',
    message: expect.stringMatching(/may be left on the broker: .*no quorum/),
  });
});
