import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from '@warren/rabbitmq';
import type { Found } from '@warren/topology';
import { isReady } from '../testing/folder-operator.ts';
import type { RunningOperator } from '../testing/folder-operator.ts';
import { shopWorld } from '../testing/shop-world.ts';
import type { VirtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced', 'PaymentApproved'];
const quorum = { 'x-queue-type': 'quorum' };

async function driftOf(operator: RunningOperator): Promise<number> {
  const metric = await operator.metrics.getSingleMetric('warren_subscription_drift_found_total')?.get();
  return metric?.values[0]?.value ?? 0;
}

const byHand: Record<
  string,
  {
    change: (host: VirtualHost) => Promise<void>;
    isRight: (host: VirtualHost) => Promise<boolean>;
    says: string;
  }
> = {
  'the queue is deleted': {
    change: ({ api }) => api.deleteQueue('shop.loyalty'),
    isRight: async (host) => (await host.keysOf('shop.loyalty')).length === 2,
    says: 'queue shop.loyalty is missing',
  },
  'the dead-letter queue is deleted': {
    change: ({ api }) => api.deleteQueue('shop.loyalty.dead'),
    isRight: async ({ api }) => (await api.bindingsOf('shop.loyalty.dead')).length === 1,
    says: 'queue shop.loyalty.dead is missing',
  },
  'a binding is deleted': {
    change: (host) => host.unbindByHand('shop.loyalty', 'order.placed'),
    isRight: async (host) => (await host.keysOf('shop.loyalty')).length === 2,
    says: 'shop.loyalty is not bound to events by order.placed',
  },
  'a binding is added': {
    change: ({ api }) =>
      api.bind({
        source: 'events',
        destination: 'shop.loyalty',
        destinationType: 'queue',
        routingKey: '#',
        arguments: {},
      }),
    isRight: async (host) => (await host.keysOf('shop.loyalty')).length === 2,
    says: 'shop.loyalty is bound to events by #',
  },
  'its policy is deleted': {
    change: async ({ api }) => {
      const { policy } = (await api.queue('shop.loyalty')) ?? {};
      await api.deletePolicy(policy ?? 'none');
    },
    isRight: async (host) => (await host.policyOf('shop.loyalty'))?.['delivery-limit'] === 25,
    says: 'the policy of queue shop.loyalty is not as it should be',
  },
  'its policy is changed': {
    change: async ({ api }) => {
      const { policy: name } = (await api.queue('shop.loyalty')) ?? {};
      const policy = (await api.inventory()).policies.find((one) => one.name === name);
      if (policy === undefined) throw new Error('no policy');
      await api.putPolicy({ ...policy, definition: { ...policy.definition, 'delivery-limit': 3 } });
    },
    isRight: async (host) => (await host.policyOf('shop.loyalty'))?.['delivery-limit'] === 25,
    says: 'the policy of queue shop.loyalty is not as it should be',
  },
  'the exchange is deleted, with every binding': {
    change: ({ api }) => api.deleteExchange('events'),
    isRight: async (host) => (await host.keysOf('shop.loyalty')).length === 2,
    says: 'exchange events is missing',
  },
};

test.each(Object.entries(byHand))('%s by hand: told once, counted, and repaired', async (_what, hand) => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, host } = shop;

  await hand.change(host);
  await eventually(() => operator.told.some(({ reason }) => reason === 'Repaired'));

  expect(await hand.isRight(host)).toBe(true);
  const stories = operator.told.filter(({ reason }) => reason !== 'Ready' && reason !== 'Applied');
  expect(stories.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
    'Warning Drifted',
    'Normal Repaired',
  ]);
  expect(stories[0]?.message).toContain(hand.says);
  expect(await driftOf(operator)).toBe(1);
  expect(operator.condition('loyalty', 'TopologyInSync')).toMatchObject({ status: 'True', reason: 'InSync' });
});

test('a queue that is deleted while the broker is read is told as what it is, once, and repaired', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, host } = shop;
  let reads = 0;
  // The queues were listed before the deletion, and the bindings after it.
  operator.calls.after = async (call, result) => {
    if (call !== 'inventory' || (reads += 1) > 1) return result;
    await host.api.deleteQueue('shop.loyalty.dead');
    const found = result as Found;
    return {
      ...found,
      bindings: found.bindings.filter(({ destination }) => destination !== 'shop.loyalty.dead'),
    };
  };
  await eventually(() => operator.told.some(({ reason }) => reason === 'Repaired'));

  const stories = operator.told.filter(({ reason }) => reason !== 'Ready' && reason !== 'Applied');
  expect(stories.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
    'Warning Drifted',
    'Normal Repaired',
  ]);
  expect(stories[0]?.message).toContain('queue shop.loyalty.dead is missing');
  expect(await driftOf(operator)).toBe(1);
});

test('with driftPolicy Report the change stays and is told once, until somebody decides', async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events, driftPolicy: 'Report' } });
  const { operator, world, host } = shop;

  await host.api.deleteQueue('shop.loyalty');
  await eventually(() => operator.told.some(({ reason }) => reason === 'Drifted'));
  expect(operator.condition('loyalty', 'Ready')).toMatchObject({
    status: 'False',
    message: expect.stringMatching(
      /^changed by hand, and driftPolicy is Report: queue shop\.loyalty is missing/,
    ),
  });
  const { statusWrites } = operator;
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 4);
  expect(operator.calls.writes).toBe(0);
  expect(operator.statusWrites).toBe(statusWrites);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toHaveLength(1);

  await world.subscribe('loyalty', { events, driftPolicy: 'Repair' });
  await eventually(() => isReady(operator, 'loyalty'));
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
});

test('with driftPolicy Report a change that is made during a pause is told and left, too', async () => {
  const spec = { events, driftPolicy: 'Report' as const };
  await using shop = await shopWorld(await testBroker(), { loyalty: spec });
  const { operator, world, host } = shop;
  await world.subscribe('loyalty', spec, { annotations: { 'warren.events/paused': 'true' } });
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.reason === 'Paused');
  await host.unbindByHand('shop.loyalty', 'order.placed');
  // Looked at twice: the second reading began after that.
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'inventory').length >= 2);

  await world.subscribe('loyalty', spec);
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.reason === 'Drifted');
  expect(operator.condition('loyalty', 'TopologyInSync')?.message).toContain(
    'shop.loyalty is not bound to events by order.placed',
  );
  expect(await host.keysOf('shop.loyalty')).toEqual(['payment.approved']);
});

test('while nothing differs nothing is written, and a resync costs the same for one subscription as for many', async () => {
  const names = Array.from({ length: 60 }, (_, index) => `s${index}`);
  const specs = Object.fromEntries(names.map((name) => [name, { events: ['OrderPlaced'] }]));
  await using shop = await shopWorld(await testBroker(), specs, { resyncMs: 1_000 });
  const { operator } = shop;
  await eventually(() => operator.told.filter(({ reason }) => reason === 'Ready').length === 61);
  expect(operator.statusWrites).toBe(60);
  const { statusWrites } = operator;
  operator.calls.reset();
  await eventually(() => operator.calls.made.filter((call) => call === 'overview').length >= 5);

  expect(operator.calls.writes).toBe(0);
  expect(operator.statusWrites).toBe(statusWrites);
  const { made } = operator.calls;
  const rounds = made.filter((call) => call === 'overview').length;
  expect(made.length).toBeLessThanOrEqual(rounds * 4);
  expect(operator.told.filter(({ type }) => type === 'Warning')).toEqual([]);
});

test('a queue that was there before is not touched, until the subscription is told to adopt it', async () => {
  await using shop = await shopWorld(await testBroker());
  const { operator, world, host } = shop;
  const args = {
    ...quorum,
    'x-dead-letter-exchange': 'failed_events',
    'x-dead-letter-routing-key': 'shop.loyalty',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
  await host.declareByHand('shop.loyalty', args);
  await world.subscribe('loyalty', { events });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
  expect(operator.condition('loyalty', 'Ready')?.message).toContain('warren.events/adopt=true');
  // The mark of the operator on the virtual host, and nothing else.
  expect(operator.calls.made.filter((call) => /^(declare|bind|put|delete)/.test(call))).toEqual([
    'declareExchange',
  ]);

  // Not adopted, it is not deleted either.
  await world.unsubscribe('loyalty');
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(await host.api.queue('shop.loyalty')).toBeDefined();

  await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/adopt': 'true' } });
  await eventually(() => isReady(operator, 'loyalty'));
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
});

test('what cannot be changed in place, nor be emptied to be made anew, is said and left with its messages', async () => {
  await using shop = await shopWorld(await testBroker());
  const { operator, world, host } = shop;
  await host.declareByHand('shop.loyalty', { 'x-queue-type': 'stream' });
  await world.subscribe('loyalty', { events }, { annotations: { 'warren.events/adopt': 'true' } });
  await eventually(() => operator.told.some(({ reason }) => reason === 'MigrationNeeded'));
  expect(operator.condition('loyalty', 'Ready')).toMatchObject({
    status: 'False',
    reason: 'MigrationNeeded',
    message:
      'cannot be changed in place: queue shop.loyalty is of type stream and should be quorum; ' +
      'save the messages and delete the queue, then it is made anew',
  });
  expect(await host.api.queue('shop.loyalty')).toMatchObject({ type: 'stream' });
});

test('a queue exclusive to a stranger in place of ours is a conflict, and made again when he is gone', async () => {
  const broker = await testBroker();
  await using shop = await shopWorld(broker, { loyalty: { events } });
  const { operator, host } = shop;
  await using stranger = connectBroker({ url: broker.amqpUrl, name: 'a stranger' });
  const channel = await (await stranger.opened()).createChannel();
  await channel.deleteQueue('shop.loyalty');
  await channel.assertQueue('shop.loyalty', { exclusive: true, durable: false });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'Conflict');
  expect(operator.condition('loyalty', 'Ready')).toMatchObject({
    status: 'False',
    message: expect.stringContaining('queue shop.loyalty is exclusive to the connection that declared it'),
  });

  await stranger.close();
  await eventually(() => isReady(operator, 'loyalty'));
  expect(await host.api.queue('shop.loyalty')).toMatchObject({ type: 'quorum' });
});

test("somebody else's policy that wins over Warren's is said", async () => {
  await using shop = await shopWorld(await testBroker(), { loyalty: { events } });
  const { operator, host } = shop;
  await host.api.putPolicy({
    name: 'mine',
    pattern: '^shop',
    applyTo: 'all',
    priority: 50,
    definition: { 'max-length': 5 },
  });
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.reason === 'PolicyOverridden');
  expect(operator.condition('loyalty', 'TopologyInSync')?.message).toContain('policy "mine" (priority 50)');
  expect(operator.condition('loyalty', 'Ready')?.status).toBe('True');

  await host.api.deletePolicy('mine');
  await eventually(() => operator.condition('loyalty', 'TopologyInSync')?.status === 'True');
});
