import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { OrderCompleted, shopCatalogue } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { mongo } from 'mongoose';
import { z } from 'zod';
import { defineService } from './definition.ts';
import { SettingsError } from './errors.ts';
import { on } from './handlers.ts';
import { route } from './route.ts';
import { startService } from './service.ts';
import { asEvent, ask, openWorkbench } from './testing/index.ts';
import { tcpProxy as databaseProxy } from '../../event-store/src/testing/tcp-proxy.ts';
import { tcpProxy } from '../../rabbitmq/src/testing/tcp-proxy.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface Health {
  readonly status: 'ok' | 'error';
  readonly details: Readonly<Record<string, { readonly status: 'up' | 'down'; readonly reason?: string }>>;
}

const health = (url: string, path = '/health') => ask<Health>(`${url}${path}`);

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A client with one connection, which it keeps. */
function keptConnection() {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    get: async (url: string) => {
      const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
      await response.resume().toArray();
      return { status: response.statusCode, connection: response.headers.connection };
    },
    [Symbol.dispose]: () => {
      agent.destroy();
    },
  };
}

const greeter = (work: () => Promise<void> = () => Promise.resolve()) =>
  defineService({
    name: 'greeter',
    catalogue: shopCatalogue,
    settings: z.object({ GREETING: z.string().default('Hello') }),
    parts: (app) => ({
      routes: [
        route({
          method: 'get',
          path: '/greetings/:name',
          summary: 'Greets.',
          params: z.object({ name: z.string() }),
          responses: { 200: { description: 'The greeting' } },
          handle: async ({ params: { name } }) => {
            await work();
            return { status: 200, body: { text: `${app.settings.GREETING}, ${name}` } };
          },
        }),
      ],
      consumers: { greeter: [on(OrderCompleted, work)] },
    }),
  });

describe('a service', () => {
  test('is alive, ready and well when its database, its broker and its consumers are', async () => {
    await using ground = await bench();
    await ground.subscribe('greeter', ['order.completed']);
    const { url } = await ground.start(greeter(), { GREETING: 'Good day' });
    await eventually(async () => (await health(url, '/readyz')).status === 200);
    const { status, body } = await health(url, '/health?verbose');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: 'ok',
      details: {
        mongodb: { status: 'up' },
        rabbitmq: { status: 'up' },
        'consumer greeter': { status: 'up' },
      },
    });
    expect((await ask(`${url}/livez`)).status).toBe(200);
    expect((await ask(`${url}/greetings/Ada`)).body).toEqual({ text: 'Good day, Ada' });
  });

  test('says which dependency is away, without its credentials, and stays alive', async () => {
    await using ground = await bench();
    const { url } = await ground.start(greeter(), { RABBITMQ_URL: 'amqp://user:hunter2@127.0.0.1:1/' });
    const { status, body, text } = await eventually(async () => {
      const answer = await health(url, '/readyz');
      return answer.body.details['rabbitmq']?.reason?.includes('ECONNREFUSED') === true ? answer : undefined;
    });
    expect(status).toBe(503);
    expect(body.details).toMatchObject({
      mongodb: { status: 'up' },
      rabbitmq: { status: 'down' },
      'consumer greeter': { status: 'down', reason: 'It waits for its binding greeter.' },
    });
    expect(text).not.toContain('hunter2');
    expect((await ask(`${url}/livez`)).status).toBe(200);
    expect((await ask(`${url}/greetings/Ada`)).status).toBe(200);
  });

  test('starts before its database is there, answers 503 until it is, and notices when it goes', async () => {
    await using ground = await bench();
    const mongodbUrl = ground.env['MONGODB_URL'] ?? '';
    await using proxy = await tcpProxy(mongodbUrl);
    await proxy.down();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const starting = ground.start(greeter(), { MONGODB_URL: proxy.through(mongodbUrl), PORT: String(port) });
    await eventually(async () => (await ask(`${url}/livez`)).status === 200);
    expect((await health(url)).body.details['mongodb']).toMatchObject({ status: 'down' });
    const early = await ask<{ reason: string }>(`${url}/greetings/Ada`);
    expect(early).toMatchObject({
      status: 503,
      type: 'application/problem+json',
      body: { reason: 'starting' },
    });
    await proxy.restore();
    await starting;
    expect((await ask(`${url}/greetings/Ada`)).status).toBe(200);
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'up');
    proxy.stall();
    // A database that does not answer is down in a second; the probe itself always gets an answer.
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'down');
    await proxy.restore();
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'up');
  });

  test('prepares its database again where that goes away meanwhile', async () => {
    await using ground = await bench();
    let tries = 0;
    const { url } = await ground.start(
      defineService({
        name: 'greeter',
        catalogue: shopCatalogue,
        parts: () => ({
          prepare: () => {
            tries += 1;
            return tries === 1 ? Promise.reject(new mongo.MongoNetworkError('gone')) : Promise.resolve();
          },
        }),
      }),
    );
    expect(tries).toBe(2);
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'up');
  });

  test('is not ready while its database takes no writes, though it answers', async () => {
    await using ground = await bench();
    const mongodbUrl = ground.env['MONGODB_URL'] ?? '';
    await using proxy = await databaseProxy(mongodbUrl);
    const { url } = await ground.start(greeter(), { MONGODB_URL: proxy.through(mongodbUrl) });
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'up');
    proxy.hold('writeConcern');
    const down = await eventually(async () => {
      const { mongodb } = (await health(url)).body.details;
      return mongodb?.status === 'down' ? mongodb : undefined;
    });
    expect(down.reason).toBe('Writing to the database took longer than 900 ms');
    proxy.restore();
    await eventually(async () => (await health(url)).body.details['mongodb']?.status === 'up');
  });

  test('does not start with wrong settings, and says all that is wrong with them', async () => {
    const starting = startService(greeter(), { env: { PORT: 'eighty' } });
    await expect(starting).rejects.toThrow(SettingsError);
    await expect(starting).rejects.toThrow(/PORT: [\s\S]*MONGODB_URL is not set/);
  });

  test('that stops lets its requests and handlers finish, gives back what it has not begun, and is not ready at once', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('greeter', ['order.completed'], { prefetch: 1 });
    const gate = Promise.withResolvers<undefined>();
    let entered = 0;
    const running = await ground.start(
      greeter(async () => {
        entered += 1;
        await gate.promise;
      }),
    );
    const order = asEvent(OrderCompleted.create({ orderId: 'o', userId: 'u', total: 1, paymentId: 'p' }));
    await subscription.publish(order, { ...order, id: 'another' });
    const request = ask(`${running.url}/greetings/Ada`);
    await eventually(() => entered === 2);
    const stopping = running.stop();
    const draining = await health(running.url, '/readyz');
    expect(draining.status).toBe(503);
    expect(draining.body.details['service']?.reason).toBe('The service is stopping.');
    expect((await ask(`${running.url}/livez`)).status).toBe(200);
    gate.resolve(undefined);
    expect((await request).status).toBe(200);
    expect((await stopping).failed).toEqual([]);
    await expect(ask(`${running.url}/livez`)).rejects.toThrow();
    // The one that ran is acknowledged, the other is there for the next start.
    expect(await subscription.depth()).toBe(1);
    expect(entered).toBe(2);
  });

  test('that stops tells clients to leave the connections that they keep, before it closes them', async () => {
    await using ground = await bench();
    using client = keptConnection();
    await using service = await startService(greeter(), {
      env: { ...ground.env, SHUTDOWN_DELAY_MS: '2000' },
    });
    await eventually(async () => (await client.get(`${service.url}/greetings/you`)).status === 200);
    expect(await client.get(`${service.url}/greetings/you`)).toEqual({
      status: 200,
      connection: 'keep-alive',
    });
    void service.stop();
    expect(await client.get(`${service.url}/greetings/you`)).toEqual({ status: 200, connection: 'close' });
  });

  test('that stops ends by its deadline, whatever hangs, and the message comes back', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('greeter', ['order.completed']);
    let entered = 0;
    const running = await ground.start(
      greeter(() => {
        entered += 1;
        return new Promise(() => undefined);
      }),
      { SHUTDOWN_DEADLINE_MS: '1000' },
    );
    await subscription.publish(
      asEvent(OrderCompleted.create({ orderId: 'o', userId: 'u', total: 1, paymentId: 'p' })),
    );
    await eventually(() => entered === 1);
    const { ms } = await running.stop();
    expect(ms).toBeLessThan(5000);
    await eventually(async () => (await subscription.depth()) === 1);
  });
});
