/** On a broker of its own, because an alarm blocks whoever publishes. */
import { describe, expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, manage } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { moveMessages } from './mover.ts';
import { createPublisher } from './publisher.ts';
import { Workbench } from './testing/workbench.ts';

async function alarmed() {
  const stack = new AsyncDisposableStack();
  // More than any disk has free.
  const settings = ['disk_free_limit.absolute = 1000000GB'];
  const broker = stack.use(await dedicatedBroker({ settings }));
  const bench = stack.use(await Workbench.open(broker.amqpUrl));
  for (const queue of ['from', 'to']) {
    await bench.channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } });
    await bench.channel.bindQueue(queue, 'events', queue);
  }
  const connect = (name: string) => connectBroker({ url: broker.amqpUrl, name, heartbeatSeconds: 1 });
  return { broker, bench, connect, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe('under an alarm that stays', () => {
  test('a move comes to an end, says why, and leaves everything in its queue', async () => {
    await using t = await alarmed();
    // The management API publishes all the same.
    for (const payload of ['a', 'b', 'c']) {
      const message = { routing_key: 'from', payload, payload_encoding: 'string', properties: {} };
      await manage(t.broker.managementUrl, 'POST', '/api/exchanges/%2F/events/publish', message);
    }
    const connection = t.connect('mover');
    for (const _ of ['not blocked yet', 'blocked']) {
      const run = await moveMessages(connection, { from: 'from', to: 'to', forMs: 500 });
      expect(run).toMatchObject({ moved: 0, empty: false });
      expect(run.failure?.message).toMatch(
        /^moving messages from from to to stopped: the broker blocks publishing \(.*disk/,
      );
    }
    await connection.close();
    await eventually(async () => (await t.bench.ready('from')) === 3);
  });

  test('a publisher says what keeps it, and closes, as does its connection', async () => {
    await using t = await alarmed();
    const connection = t.connect('publisher');
    const publisher = createPublisher(connection, { exchange: 'events', confirmTimeoutMs: 300, waitMs: 300 });
    const publish = () => publisher.publish({ routingKey: 'to', content: Buffer.from('a') });
    await expect(publish()).rejects.toMatchObject({ code: 'WARREN_OUTCOME_UNKNOWN' });
    await eventually(() => connection.blocked !== undefined);
    await expect(publish()).rejects.toThrow('the message was not sent: the broker blocks publishing (');
    // Its channel is never opened.
    const late = createPublisher(connection, { exchange: 'events' });
    await late.close();
    await publisher.close();
    await connection.close();
    expect(await t.bench.ready('to')).toBe(0);
  });
});
