import { expect, jest, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { Channel } from 'amqplib';
import { connectBroker, type BrokerConnection } from './connection.ts';
import { createManagementClient } from './management/client.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { createTopologyWriter } from './topology-writer.ts';

const events = { name: 'events', type: 'topic', durable: true, autoDelete: false, arguments: {} };
const quorum = (name: string) => ({
  name,
  durable: true,
  autoDelete: false,
  arguments: { 'x-queue-type': 'quorum' },
});
const binding = (destination: string, source = 'events', routingKey = '#') => ({
  source,
  destination,
  destinationType: 'queue' as const,
  routingKey,
  arguments: {},
});
/** The broker does each of these in about ten milliseconds: it is left at all of them. */
const MOMENTS = Array.from({ length: 24 }, (_, index) => index / 2);

async function writing() {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await testBroker());
  const connection = stack.use(connectBroker({ url: broker.amqpUrl, name: 'writer' }));
  const management = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  stack.defer(() => management.close());
  const writer = createTopologyWriter({ connection });
  await writer.declareExchange(events);
  return { broker, connection, management, writer, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Does it, and is gone so many milliseconds later, as an operator is that is killed. */
async function leave(
  connection: BrokerConnection,
  afterMs: number,
  doing: () => Promise<unknown>,
): Promise<void> {
  await connection.opened();
  const done = doing().catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  connection.reset('killed');
  await done;
}

/** Whether the queue takes a message and gives it back; undefined where it is not there. */
async function works(url: string, queue: string): Promise<boolean | undefined> {
  await using connection = connectBroker({ url, name: 'prober' });
  const channel = await (await connection.opened()).createConfirmChannel();
  channel.on('error', () => undefined);
  try {
    await channel.checkQueue(queue);
    const isTaken = await new Promise<boolean>((resolve) =>
      channel.sendToQueue(queue, Buffer.from('x'), {}, (error: unknown) => {
        resolve(error === null);
      }),
    );
    return isTaken && (await channel.get(queue, { noAck: true })) !== false;
  } catch (error) {
    return (error as { code?: unknown }).code === 404 ? undefined : false;
  }
}

/** What was begun may be under way for a moment after its writer is gone. */
const isWhole = (url: string, queue: string) => eventually(async () => (await works(url, queue)) !== false);

test('a queue whose writer dies while it is declared is there and works, or is not there', async () => {
  await using t = await writing();
  await Promise.all(
    MOMENTS.map(async (afterMs, index) => {
      await using connection = connectBroker({ url: t.broker.amqpUrl, name: 'dying' });
      await leave(connection, afterMs, () =>
        createTopologyWriter({ connection }).declareQueue(quorum(`q-${index}`)),
      );
    }),
  );
  for (const index of MOMENTS.keys()) {
    await isWhole(t.broker.amqpUrl, `q-${index}`);
    await t.writer.declareQueue(quorum(`q-${index}`));
    expect(await works(t.broker.amqpUrl, `q-${index}`)).toBe(true);
  }
});

test('a queue whose writer dies while it is deleted is gone, or is there and works', async () => {
  await using t = await writing();
  const names = MOMENTS.map((_, index) => `q-${index}`);
  await Promise.all(names.map((name) => t.writer.declareQueue(quorum(name))));
  await Promise.all(
    names.map(async (name, index) => {
      await using connection = connectBroker({ url: t.broker.amqpUrl, name: 'dying' });
      await leave(connection, MOMENTS[index] ?? 0, () =>
        createTopologyWriter({ connection }).deleteQueue(name),
      );
    }),
  );
  for (const name of names) await isWhole(t.broker.amqpUrl, name);
});

test('what is made and removed is what the management API tells of', async () => {
  await using t = await writing();
  await t.writer.declareQueue(quorum('q'));
  await t.writer.bind(binding('q', 'events', 'order.*'));
  expect(await t.management.queue('q')).toMatchObject({ name: 'q', arguments: { 'x-queue-type': 'quorum' } });
  expect(await t.management.bindingsOf('q')).toMatchObject([{ source: 'events', routingKey: 'order.*' }]);
  await t.writer.unbind(binding('q', 'events', 'order.*'));
  expect(await t.management.bindingsOf('q')).toEqual([]);
  await t.writer.deleteQueue('q');
  await t.writer.deleteExchange('events');
  expect(await t.management.queue('q')).toBeUndefined();
});

test('what is not there is removed already', async () => {
  await using t = await writing();
  await t.writer.deleteQueue('nothing');
  await t.writer.deleteExchange('nothing');
  await t.writer.unbind(binding('nothing', 'nowhere'));
});

test('an operation that the broker refuses says why, and fails no other one', async () => {
  await using t = await writing();
  const writer = createTopologyWriter({ connection: t.connection, maxParallel: 2 });
  await writer.declareQueue(quorum('q'));
  const classic = { ...quorum('q'), arguments: { 'x-queue-type': 'classic' } };
  const outcomes = await Promise.allSettled([
    writer.declareQueue(classic),
    writer.bind(binding('q')),
    writer.bind(binding('q', 'nowhere')),
    writer.bind(binding('q', 'events', 'order.placed')),
  ]);
  expect(outcomes).toMatchObject([
    {
      reason: {
        code: 'WARREN_BROKER_CONFLICT',
        status: 406,
        message: expect.stringMatching(/^declare queue q: inequivalent arg 'x-queue-type'/),
      },
    },
    { status: 'fulfilled' },
    { reason: { code: 'WARREN_BROKER_NOT_FOUND', status: 404 } },
    { status: 'fulfilled' },
  ]);
  expect(await t.management.bindingsOf('q')).toHaveLength(2);
});

test('an operation whose connection is lost says so, and the next one has a new connection', async () => {
  await using t = await writing();
  const seen: (number | undefined)[] = [];
  const writer = createTopologyWriter({
    connection: t.connection,
    observer: ({ status }) => seen.push(status),
  });
  const failed = writer.declareQueue(quorum('q')).catch((error: unknown) => error);
  t.connection.reset('cut');
  expect([undefined, 'WARREN_BROKER_UNREACHABLE']).toContain(
    ((await failed) as { code?: string } | undefined)?.code,
  );
  await eventually(() => t.connection.isOpen);
  await writer.declareQueue(quorum('q'));
  expect(seen).toEqual([seen[0], 200]);
});

test('a channel that the broker opens when nobody waits for it any more is closed', async () => {
  await using broker = await testBroker();
  await using proxy = await tcpProxy(broker.amqpUrl);
  await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'slow' });
  const opening = jest.spyOn(await connection.opened(), 'createChannel');
  const writer = createTopologyWriter({ connection, timeoutMs: 200 });
  proxy.stall();
  await expect(writer.declareQueue(quorum('q'))).rejects.toMatchObject({
    code: 'WARREN_BROKER_UNREACHABLE',
    message: expect.stringContaining('no answer within 200 ms'),
  });
  const closed = jest.fn();
  const late = opening.mock.results[0]?.value as Promise<Channel>;
  void late.then((channel) => channel.once('close', closed));
  await proxy.restore();
  await eventually(() => closed.mock.calls.length === 1);
});

test('whoever waits for a place ends at once when its signal aborts', async () => {
  await using connection = connectBroker({ url: 'amqp://127.0.0.1:1', name: 'nobody listens' });
  const writer = createTopologyWriter({ connection, maxParallel: 1 });
  const leaving = new AbortController();
  const endOf = (work: Promise<void>) => work.catch((error: unknown) => error);
  const first = endOf(writer.declareQueue(quorum('first')));
  const second = endOf(writer.declareQueue(quorum('second'), { signal: leaving.signal }));
  leaving.abort(new Error('stopped'));
  expect(await Promise.race([first, second])).toMatchObject({ message: 'stopped' });
  await connection.close();
  expect(await first).toMatchObject({ code: 'WARREN_BROKER_UNREACHABLE' });
});
