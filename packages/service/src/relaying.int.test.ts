import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { startService } from './service.ts';
import { ask, openSpy, openWorkbench } from './testing/index.ts';
import { appendFact, publishingService } from './testing/publishing.ts';
import { tcpProxy } from '../../rabbitmq/src/testing/tcp-proxy.ts';

const service = publishingService('user');

const append = async (url: string, id: string) => {
  expect(await appendFact(url, id)).toBe(201);
};
const metrics = async (url: string) => (await ask(`${url}/metrics`)).text;

describe('what a service appends', () => {
  test('is held while no queue wants it, and is published once and in order when one does', async () => {
    await using broker = await testBroker();
    await using database = await testDatabase();
    await using running = await startService(service, {
      env: {
        PORT: '0',
        HOST: '127.0.0.1',
        LOG_LEVEL: 'silent',
        MONGODB_URL: database.url,
        RABBITMQ_URL: broker.amqpUrl,
      },
    });
    await append(running.url, 'u1');
    await append(running.url, 'u1');
    await append(running.url, 'u2');
    await eventually(async () =>
      /^warren_outbox_backlog\{service="user"\} 3$/m.test(await metrics(running.url)),
    );
    // The exchange itself is not there yet either.
    await using spy = await openSpy(broker.amqpUrl);
    await eventually(() => spy.messages.length >= 3);
    await eventually(async () =>
      /^warren_outbox_backlog\{service="user"\} 0$/m.test(await metrics(running.url)),
    );
    expect(
      spy
        .events()
        .filter(({ aggregateId }) => aggregateId === 'u1')
        .map(({ version }) => version),
    ).toEqual([1, 2]);
    expect(spy.messages).toHaveLength(3);
    expect(await metrics(running.url)).toMatch(/^warren_outbox_oldest_age_seconds\{service="user"\} 0$/m);
    expect(await metrics(running.url)).toMatch(/^warren_relay_held_total\{/m);
  });

  test('arrives when the broker is cut off in the middle, and is asked for again and again', async () => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    await using proxy = await tcpProxy(ground.env['RABBITMQ_URL'] ?? '');
    const { url } = await ground.start(service, {
      RABBITMQ_URL: proxy.through(ground.env['RABBITMQ_URL'] ?? ''),
    });
    await eventually(async () => (await ask(`${url}/readyz`)).status === 200);
    const appended: Promise<void>[] = [];
    for (let index = 0; index < 60; index += 1) {
      appended.push(append(url, `u${index % 6}`));
      if (index === 20) proxy.cut();
      if (index === 35) await proxy.down();
      await appended.at(-1);
    }
    // The broker is away: the facts are safe, and the service says so.
    await eventually(async () => (await ask(`${url}/readyz`)).status === 503);
    expect((await ask(`${url}/livez`)).status).toBe(200);
    await append(url, 'late');
    await proxy.restore();
    const unique = () => new Set(ground.spy.events().map(({ id }) => id)).size;
    await eventually(() => unique() === 61);
    await eventually(async () => /^warren_outbox_backlog\{service="user"\} 0$/m.test(await metrics(url)));
    for (let index = 0; index < 6; index += 1) {
      const firsts = new Set(
        ground.spy
          .events()
          .filter(({ aggregateId }) => aggregateId === `u${index}`)
          .map(({ version }) => version),
      );
      expect([...firsts]).toEqual(Array.from({ length: 10 }, (_, version) => version + 1));
    }
    await eventually(async () => (await ask(`${url}/readyz`)).status === 200);
  });
});
