import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createManagementClient } from './management/client.ts';
import { moveMessages } from './mover.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { Workbench } from './testing/workbench.ts';

const quorum = { 'x-queue-type': 'quorum' };
const ids = (count: number) => Array.from({ length: count }, (_, index) => `e-${index}`);

async function queues(args: Record<string, unknown> = {}) {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const bench = stack.use(await Workbench.open(broker.amqpUrl));
  const connection = stack.use(connectBroker({ url: broker.amqpUrl, name: 'mover' }));
  await bench.channel.assertQueue('from', { arguments: { ...quorum, ...args } });
  await bench.channel.assertQueue('to', { arguments: quorum });
  await bench.channel.bindQueue('from', 'events', '#');
  const contents = async (queue: string) =>
    (await bench.take(queue)).map((message) => message.content.toString());
  return { broker, bench, connection, contents, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('everything is moved in its order, with its properties and where it was first published to', async () => {
  await using t = await queues();
  await t.bench.publish(ids(3_000), { 'warren-attempt': 2, tenant: 'a', CC: ['elsewhere'] }, 'order.placed');
  const result = await moveMessages(t.connection, { from: 'from', to: 'to', forMs: 60_000 });
  expect(result).toEqual({ moved: 3_000, empty: true, left: 0 });
  const messages = await t.bench.take('to');
  expect(messages.map(({ content }) => content.toString())).toEqual(ids(3_000));
  const { properties } = messages[0] ?? {};
  expect(properties?.deliveryMode).toBe(2);
  expect(properties?.messageId).toBe('e-0');
  expect(properties?.headers).toEqual({
    'warren-attempt': 2,
    tenant: 'a',
    'warren-original-routing-key': 'order.placed',
    'warren-original-exchange': 'events',
  });
});

test('moved twice, a message still tells where it was first published to', async () => {
  await using t = await queues();
  await t.bench.publish(['e-1'], {}, 'payment.approved');
  await moveMessages(t.connection, { from: 'from', to: 'to' });
  await moveMessages(t.connection, { from: 'to', to: 'from' });
  const [message] = await t.bench.take('from');
  expect(message?.properties.headers).toMatchObject({
    'warren-original-routing-key': 'payment.approved',
    'warren-original-exchange': 'events',
  });
});

test('ended early it leaves the rest in its place, and the next run goes on from there', async () => {
  await using t = await queues();
  await t.bench.publish(ids(5_000));
  const stop = new AbortController();
  const first = moveMessages(t.connection, { from: 'from', to: 'to', window: 50, signal: stop.signal });
  await eventually(async () => (await t.bench.ready('to')) > 100);
  stop.abort();
  const { moved, empty, failure } = await first;
  expect(failure).toBeUndefined();
  expect(empty).toBe(false);
  // The broker's count follows a moment later.
  await eventually(async () => (await t.bench.ready('to')) === moved);
  const second = await moveMessages(t.connection, { from: 'from', to: 'to', forMs: 60_000 });
  expect(second).toMatchObject({ moved: 5_000 - moved, empty: true });
  expect(await t.contents('to')).toEqual(ids(5_000));
});

test('a connection that is lost in the middle loses nothing, and doubles only under the same id', async () => {
  await using t = await queues();
  await t.bench.publish(ids(5_000));
  await using api = createManagementClient({ url: t.broker.managementUrl, vhost: t.broker.vhost });
  const name = await eventually(
    async () => (await api.connections()).find(({ clientName }) => clientName === 'mover')?.name,
  );
  const first = moveMessages(t.connection, { from: 'from', to: 'to', window: 20, forMs: 60_000 });
  await eventually(async () => (await t.bench.ready('to')) > 100);
  await api.closeConnection(name, 'killed by a test');
  expect((await first).failure).toMatchObject({
    code: 'WARREN_MOVE_FAILED',
    message: 'moving messages from from to to stopped: the channel was lost',
  });
  await eventually(async () => {
    const { empty } = await moveMessages(t.connection, { from: 'from', to: 'to' });
    return empty;
  });
  const contents = await t.contents('to');
  expect(contents.length).toBeGreaterThanOrEqual(5_000);
  expect(contents.length).toBeLessThanOrEqual(5_020);
  expect([...new Set(contents)]).toEqual(ids(5_000));
});

test('a broker that falls silent in the middle is told, in bounded time', async () => {
  await using t = await queues();
  await t.bench.publish(ids(5_000));
  await using proxy = await tcpProxy(t.broker.amqpUrl);
  await using connection = connectBroker({ url: proxy.through(t.broker.amqpUrl), name: 'silent' });
  const stop = new AbortController();
  const run = moveMessages(connection, { from: 'from', to: 'to', window: 20, signal: stop.signal });
  await eventually(async () => (await t.bench.ready('to')) > 100);
  proxy.stall();
  stop.abort();
  const stopped = 'moving messages from from to to stopped: the broker did not answer within 10000 ms';
  expect((await run).failure?.message).toBe(stopped);
  await connection.close();
  await proxy.restore();
  await eventually(async () => (await moveMessages(t.connection, { from: 'from', to: 'to' })).empty);
  expect([...new Set(await t.contents('to'))]).toEqual(ids(5_000));
});

test('a missing target is told, and nothing has left its queue', async () => {
  await using t = await queues();
  await t.bench.publish(ids(100));
  const { failure, empty, moved } = await moveMessages(t.connection, { from: 'from', to: 'nowhere' });
  expect({ empty, moved }).toEqual({ empty: false, moved: 0 });
  expect(failure?.message).toBe(
    'moving messages from from to nowhere stopped: there is no queue behind nowhere',
  );
  await eventually(async () => (await t.bench.ready('from')) === 100);
  expect(await t.contents('from')).toEqual(ids(100));
});

test('a missing source is told', async () => {
  await using t = await queues();
  const { failure } = await moveMessages(t.connection, { from: 'nowhere', to: 'to' });
  expect(failure?.message).toContain("no queue 'nowhere'");
});

test('a full target is told; what it refused stays', async () => {
  await using t = await queues();
  await t.bench.channel.assertQueue('full', {
    arguments: { ...quorum, 'x-max-length': 10, 'x-overflow': 'reject-publish' },
  });
  await t.bench.publish(ids(2_000));
  const { failure, moved, empty } = await moveMessages(t.connection, { from: 'from', to: 'full', window: 5 });
  expect(failure?.message).toContain('full takes no message: is it full?');
  expect(empty).toBe(false);
  expect(moved).toBeLessThan(2_000);
  await eventually(async () => {
    const there = await Promise.all(['from', 'full'].map((queue) => t.bench.ready(queue)));
    return (there[0] ?? 0) + (there[1] ?? 0) >= 2_000;
  });
  const all = [...(await t.contents('full')), ...(await t.contents('from'))];
  expect([...new Set(all)].sort()).toEqual(ids(2_000).sort());
});

test('ahead of the single active consumer it takes over', async () => {
  await using t = await queues({ 'x-single-active-consumer': true });
  await t.bench.publish(ids(500));
  const consumed: string[] = [];
  await t.bench.channel.prefetch(1);
  const { consumerTag } = await t.bench.channel.consume('from', (message) => {
    if (message === null) return;
    consumed.push(message.content.toString());
    // Slow enough never to finish by itself.
    setTimeout(() => t.bench.channel.ack(message), 50);
  });
  await eventually(() => consumed.length > 0);
  const moved = await eventually(async () => {
    const run = await moveMessages(t.connection, { from: 'from', to: 'to', ahead: true });
    return run.moved > 0 && run;
  });
  expect(moved.moved).toBeGreaterThan(100);
  await t.bench.channel.cancel(consumerTag);
  await eventually(async () => (await moveMessages(t.connection, { from: 'from', to: 'to' })).empty);
  const rest = await t.contents('to');
  expect([...consumed, ...rest]).toEqual(ids(500));
});

test('unattended, nothing is moved while another holds what is in the queue, though nothing in it is ready', async () => {
  await using t = await queues({ 'x-single-active-consumer': true });
  await t.bench.publish(ids(10));
  const { channel } = t.bench;
  let held = 0;
  await channel.prefetch(100);
  const { consumerTag } = await channel.consume('from', () => void (held += 1));
  await eventually(() => held === 10);
  const first = await moveMessages(t.connection, { from: 'from', to: 'to', unattended: true });
  expect(first).toMatchObject({ moved: 0, attended: true });
  await channel.cancel(consumerTag);
  channel.nackAll(true);
  // The queue counts its consumers a moment late.
  const then = await eventually(async () => {
    const run = await moveMessages(t.connection, { from: 'from', to: 'to', unattended: true });
    return run.attended !== true && run;
  });
  expect(then).toEqual({ moved: 10, empty: true, left: 0 });
  expect(await t.contents('to')).toEqual(ids(10));
});

test('what is to be bound when the queue is empty is bound on the way, and what came before it is moved', async () => {
  await using t = await queues();
  await t.bench.publish(['before']);
  const moved = moveMessages(t.connection, {
    from: 'from',
    to: 'to',
    whenEmpty: (bind) =>
      bind({
        source: 'events',
        destination: 'to',
        destinationType: 'queue',
        routingKey: '#',
        arguments: {},
      }),
  });
  expect(await moved).toMatchObject({ moved: 1, empty: true });
  await t.bench.channel.unbindQueue('from', 'events', '#');
  await t.bench.publish(['after']);
  expect(await t.contents('to')).toEqual(['before', 'after']);
});
