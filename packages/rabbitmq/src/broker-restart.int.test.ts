/** On a broker of its own, because it is killed. */
import { describe, expect, test } from '@jest/globals';
import { dedicatedBroker, eventually } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createConsumer } from './consumer.ts';
import { createManagementClient } from './management/client.ts';
import { createPublisher } from './publisher.ts';
import { Workbench } from './testing/workbench.ts';

const quick = { initialMs: 20, maxMs: 200 };

describe('a broker that is killed and comes back', () => {
  test('has every message whose publish resolved; publisher, consumer and management client go on by themselves', async () => {
    await using broker = await dedicatedBroker();
    const open = () => Workbench.open(broker.amqpUrl);
    const settings = await (async () => {
      await using bench = await open();
      return await bench.subscription({ attempts: 100, prefetch: 20, retryMs: { min: 1, max: 5 } });
    })();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'killed', backoff: quick });
    await using publisher = createPublisher(connection, { exchange: 'events', waitMs: 60_000 });
    await using api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
    const seen = new Map<string, number>();
    await using consumer = createConsumer(connection, {
      settings,
      handle: async ({ content }) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const id = content.toString();
        seen.set(id, (seen.get(id) ?? 0) + 1);
      },
    });
    consumer.start();
    const resolved = new Set<string>();
    let going = true;
    let next = 0;
    /** Publishes as the relay does: what is of unknown outcome again, under the same id. */
    const relay = async () => {
      while (going) {
        const id = `m${next++}`;
        for (let done = false; !done;) {
          done = await publisher.publish({ routingKey: 'order.placed', content: Buffer.from(id) }).then(
            () => true,
            () => false,
          );
        }
        resolved.add(id);
      }
    };
    const relays = Array.from({ length: 10 }, relay);
    for (let kill = 0; kill < 2; kill += 1) {
      const before = resolved.size;
      await eventually(() => resolved.size > before + 200 && seen.size > before, { timeoutMs: 60_000 });
      await broker.kill();
      await eventually(() => !connection.isOpen);
      await expect(api.overview()).rejects.toMatchObject({ code: 'WARREN_BROKER_UNREACHABLE' });
      await broker.start();
      await eventually(() => consumer.isConsuming, { timeoutMs: 60_000 });
      expect((await api.overview()).version).toMatch(/^\d+\./);
    }
    going = false;
    await Promise.all(relays);
    await eventually(() => [...resolved].every((id) => seen.has(id)), { timeoutMs: 60_000 });
    await consumer.stop();
    await using bench = await open();
    expect(await bench.ready('shop.test')).toBe(0);
    expect(await bench.ready('shop.test.dead')).toBe(0);
  }, 180_000);
});
