/** On a broker of its own, because an alarm blocks whoever publishes. */
import { describe, expect, test } from '@jest/globals';
import { dedicatedBroker, eventually, manage } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { moveMessages } from './mover.ts';
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
});
