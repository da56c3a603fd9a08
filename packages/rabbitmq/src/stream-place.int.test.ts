import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createPublisher } from './publisher.ts';
import { StreamPlace } from './stream-place.ts';
import { Workbench } from './testing/workbench.ts';

test('what moves while a place is being written is written once, by the last place', async () => {
  await using broker = await testBroker();
  await using bench = await Workbench.open(broker.amqpUrl);
  const { stream } = await bench.stream();
  await using connection = connectBroker({ url: broker.amqpUrl, name: 'reader' });
  await using publisher = createPublisher(connection, { exchange: 'events' });
  const written: unknown[] = [];
  const gate = Promise.withResolvers<undefined>();
  const place = await StreamPlace.open(await (await connection.opened()).createChannel(), {
    queue: stream!.offsets,
    publish: async (message) => {
      const token = JSON.parse(message.content.toString()) as { kind: string; offset?: number };
      if (token.kind === 'place') {
        written.push(token.offset);
        await gate.promise;
      }
      await publisher.publish(message);
    },
    onLost: () => undefined,
  });
  await place.turn;
  place.move({ offset: 1, messageId: 'm1' });
  const saves = [place.save()];
  await eventually(() => written.length === 1);
  place.move({ offset: 2, messageId: 'm2' });
  saves.push(place.save(), place.save(), place.save());
  gate.resolve(undefined);
  await Promise.all(saves);
  expect(written).toEqual([1, 2]);
  await place.close();
});
