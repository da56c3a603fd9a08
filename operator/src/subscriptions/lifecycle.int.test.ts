import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { Delivery } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import { deadLettersOf, readSettingsOf, virtualHost } from '../testing/virtual-host.ts';

const older = { delayedRetry: false, deliveryLimitByDefault: true };

test('a subscription becomes a queue, its bindings, its policies and its dead-letter queue, and says so', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced', 'payment.*'] });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));

  const { queues, exchanges } = await host.api.inventory();
  expect(queues.map(({ name, type }) => [name, type]).sort()).toEqual([
    ['shop.loyalty', 'quorum'],
    ['shop.loyalty.dead', 'quorum'],
  ]);
  expect(exchanges.filter(({ name }) => /^(failed_)?events$/.test(name)).map(({ type }) => type)).toEqual([
    'topic',
    'topic',
  ]);
  expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.*']);
  expect(await host.policyOf('shop.loyalty')).toMatchObject({
    'delayed-retry-type': 'all',
    'delayed-retry-min': 1_000,
    'delayed-retry-max': 60_000,
  });
  expect(operator.resource('loyalty')?.status).toMatchObject({
    queue: 'shop.loyalty',
    deadLetterQueue: 'shop.loyalty.dead',
    retryMode: 'broker',
    messages: { ready: 0, unacked: 0, deadLetters: 0 },
    consumers: 0,
    binding: { name: 'loyalty-binding' },
  });
  const { effectiveArguments } = operator.resource('loyalty')?.status ?? {};
  expect(effectiveArguments).toMatchObject({
    'queue-type': 'quorum',
    'dead-letter-strategy': 'at-least-once',
    'delayed-retry-type': 'all',
    'delivery-limit': '25',
  });
  // The status is there a moment before it is told of.
  await eventually(() => operator.told.length >= 3);
  expect(operator.told.map(({ name, reason }) => `${name} ${reason}`)).toEqual([
    'default Ready',
    'loyalty Applied',
    'loyalty Ready',
  ]);
});

test.each([
  ['broker', undefined],
  ['ladder', older],
] as const)(
  'in %s mode a message that fails comes again later, and after its last attempt lies in the dead-letter queue with the reason',
  async (mode, capabilities) => {
    await using broker = await testBroker();
    await using world = await folderWorld(broker);
    await using host = virtualHost(broker);
    const retry = { attempts: 3, backoff: { initial: '200ms', max: '1s' } };
    await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: { retry } });
    await using operator = await startFolderOperator(
      world,
      capabilities === undefined ? {} : { capabilitiesOf: () => capabilities },
    );
    await eventually(() => isReady(operator, 'loyalty'));
    expect(operator.resource('loyalty')?.status?.retryMode).toBe(mode);
    const settings = await readSettingsOf(world.state, 'loyalty');
    expect(settings.retry.mode).toBe(mode);

    const tries: { id: string; at: number; attempt: number }[] = [];
    host.consume(settings, ({ content, attempt }) => {
      tries.push({ id: content.toString(), at: performance.now(), attempt });
      return content.toString() === 'bad' ? Promise.reject(new Error('no such user')) : Promise.resolve();
    });
    await host.publish('order.placed', ['bad', 'good']);
    const dead: Delivery[] = [];
    host.consume(deadLettersOf(settings), (delivery) => {
      dead.push(delivery);
      return Promise.resolve();
    });
    await eventually(() => dead.length > 0);

    const bad = tries.filter(({ id }) => id === 'bad');
    expect(bad.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const waits = bad.slice(1).map(({ at }, index) => at - (bad[index]?.at ?? 0));
    expect(waits[0]).toBeGreaterThan(150);
    expect(waits[1]).toBeGreaterThan(350);
    expect(tries.filter(({ id }) => id === 'good')).toHaveLength(1);
    expect(dead[0]?.properties.headers).toMatchObject({
      'warren-failure-reason': 'no such user',
      'warren-failure-subscription': 'shop/loyalty',
      'warren-original-routing-key': 'order.placed',
    });
  },
);

test('bindings follow the events, and what both versions take is never missed', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  const seen = new Set<string>();
  host.consume(await readSettingsOf(world.state, 'loyalty'), ({ content }) => {
    seen.add(content.toString());
    return Promise.resolve();
  });

  let published = 0;
  const enough = new AbortController();
  const publishing = (async () => {
    while (!enough.signal.aborted) {
      await host.publish(
        'order.placed',
        Array.from({ length: 10 }, () => `m${(published += 1)}`),
      );
    }
  })();
  for (const events of [['OrderPlaced', 'UserCreated'], ['order.*'], ['#'], ['OrderPlaced']]) {
    await world.subscribe('loyalty', { events });
    const keys = events.map((one) =>
      one === 'OrderPlaced' ? 'order.placed' : one === 'UserCreated' ? 'user.created' : one,
    );
    await eventually(async () => (await host.keysOf('shop.loyalty')).join() === keys.sort().join());
  }
  enough.abort();
  await publishing;
  await eventually(() => seen.size === published);
  expect(published).toBeGreaterThan(0);
  expect(operator.told.filter(({ reason }) => reason === 'Drifted')).toEqual([]);
});

test('what is tuned follows by policy, and the queue stays the same', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await world.subscribe('payment', { events: ['OrderPlaced'] });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty') && isReady(operator, 'payment'));
  await host.publish('order.placed', ['kept']);

  const tuned = { retry: { attempts: 8, backoff: { initial: '5s', max: '1m' } } };
  await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: tuned, queue: { maxLength: 1_000 } });
  await eventually(async () => (await host.policyOf('shop.loyalty'))?.['delayed-retry-min'] === 5_000);

  expect(await host.policyOf('shop.loyalty')).toMatchObject({ 'max-length': 1_000, 'delivery-limit': 28 });
  expect(await host.policyOf('shop.payment')).toMatchObject({ 'delayed-retry-min': 1_000 });
  await eventually(async () => (await readSettingsOf(world.state, 'loyalty')).attempts === 8);
  await eventually(async () => (await host.api.queue('shop.loyalty'))?.messages === 1);
});

test('the numbers of messages and consumers in the status follow the queues', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: { prefetch: 1 } });
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  const consumer = host.consume(await readSettingsOf(world.state, 'loyalty'), (_delivery, { signal }) => {
    return new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(new Error('stopped'))),
    );
  });
  await host.publish('order.placed', ['a', 'b', 'c']);
  await eventually(() => {
    const { messages, consumers } = operator.resource('loyalty')?.status ?? {};
    return messages?.ready === 2 && messages.unacked === 1 && consumers === 1;
  });
  await consumer.stop({ deadlineMs: 100 });
  await eventually(() => operator.resource('loyalty')?.status?.consumers === 0);
  const metrics = await operator.metrics.metrics();
  expect(metrics).toContain('warren_subscription_ready{namespace="shop",name="loyalty"} 1');
});

test('a subscription to a broker that does not exist, or is not for its namespace, says so and gets it later', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await world.broker({ allowedNamespaces: ['warehouse'] });
  await world.subscribe('loyalty', { events: ['OrderPlaced'] });
  await world.subscribe('payment', { events: ['OrderPlaced'], brokerRef: { name: 'other' } });
  await using operator = await startFolderOperator(world);
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerNotAllowed');
  await eventually(() => operator.condition('payment', 'Ready')?.reason === 'BrokerNotFound');
  expect(operator.condition('loyalty', 'Ready')?.message).toBe(
    'EventBroker "default" does not allow the namespace shop',
  );
  expect(operator.calls.writes).toBe(0);

  await world.broker({ allowedNamespaces: ['warehouse', 'shop'] });
  await eventually(() => isReady(operator, 'loyalty'));
});

test('in ladder mode other delays are other wait queues; the old ones go when their messages have gone back', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  const waiting = (initial: string) => ({ retry: { attempts: 2, backoff: { initial, max: initial } } });
  await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: waiting('3s') });
  await using operator = await startFolderOperator(world, {
    capabilitiesOf: () => older,
    tidyAfterMs: 7_000,
  });
  await eventually(() => isReady(operator, 'loyalty'));
  const tries: number[] = [];
  host.consume(await readSettingsOf(world.state, 'loyalty'), ({ attempt }) => {
    tries.push(attempt);
    return attempt === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve();
  });
  await host.publish('order.placed', ['m']);
  await eventually(() => tries.length === 1);

  await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: waiting('1s') });
  await eventually(async () => (await host.api.queue('shop.loyalty.wait.1000')) !== undefined);
  await eventually(() => tries.length === 2);
  await eventually(async () => (await host.api.queue('shop.loyalty.wait.3000')) === undefined);
  expect(operator.told.filter(({ type }) => type === 'Warning')).toEqual([]);
});
