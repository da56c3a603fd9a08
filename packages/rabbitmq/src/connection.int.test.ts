import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker, type ConnectionState } from './connection.ts';
import { ClosedError } from './errors.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';

const quick = { initialMs: 20, maxMs: 100 };

describe('a supervised connection', () => {
  test('comes back after its socket is cut, again and again', async () => {
    await using broker = await testBroker();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const states: ConnectionState[] = [];
    await using connection = connectBroker({
      url: proxy.through(broker.amqpUrl),
      name: 'cut',
      backoff: quick,
      onState: (state) => states.push(state),
    });
    for (let generation = 1; generation <= 4; generation += 1) {
      await eventually(() =>
        states.some((state) => state.state === 'open' && state.generation === generation),
      );
      expect(connection.isOpen).toBe(true);
      const channel = await (await connection.opened()).createChannel();
      await channel.close();
      proxy.cut();
    }
    expect(states.map(({ state }) => state).slice(0, 4)).toEqual([
      'open',
      'disconnected',
      'open',
      'disconnected',
    ]);
  });

  test('is made as soon as the broker is there, however late', async () => {
    await using broker = await testBroker();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const url = proxy.through(broker.amqpUrl);
    await proxy.down();
    const errors: string[] = [];
    await using connection = connectBroker({
      url,
      name: 'late',
      backoff: quick,
      onState: (state) => {
        if (state.state === 'disconnected') errors.push(state.error.code);
      },
    });
    await eventually(() => errors.length >= 3);
    expect(new Set(errors)).toEqual(new Set(['WARREN_BROKER_UNREACHABLE']));
    expect(connection.isOpen).toBe(false);
    await proxy.restore();
    await connection.opened();
    expect(connection.lastError).toBeUndefined();
  });

  test('notices a peer that is dead without a word, by heartbeat', async () => {
    await using broker = await testBroker();
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({
      url: proxy.through(broker.amqpUrl),
      name: 'dead-peer',
      heartbeatSeconds: 1,
      connectTimeoutMs: 500,
      backoff: quick,
    });
    await connection.opened();
    proxy.stall();
    await eventually(() => !connection.isOpen);
    proxy.cut();
    await proxy.restore();
    await eventually(() => connection.isOpen);
  });

  test('tells a wrong password from a missing virtual host, and shows neither password', async () => {
    await using broker = await testBroker();
    const wrong = new URL(broker.amqpUrl);
    wrong.password = 'not-the-password';
    const nowhere = new URL(broker.amqpUrl);
    nowhere.pathname = '/no-such-vhost';
    for (const [url, code] of [
      [wrong.href, 'WARREN_BROKER_UNAUTHORIZED'],
      [nowhere.href, 'WARREN_BROKER_FORBIDDEN'],
    ] as const) {
      await using connection = connectBroker({ url, name: 'refused', backoff: quick });
      const error = await eventually(() => connection.lastError ?? false);
      expect(error).toMatchObject({ code });
      expect(String(error)).not.toContain('not-the-password');
      expect(String(error)).not.toContain(new URL(broker.amqpUrl).password);
    }
  });

  test('asks for its URL again on every try, so that rotated credentials are used', async () => {
    await using broker = await testBroker();
    const wrong = new URL(broker.amqpUrl);
    wrong.password = 'yesterday';
    const urls = [wrong.href, broker.amqpUrl];
    await using connection = connectBroker({
      url: () => urls.shift() ?? broker.amqpUrl,
      name: 'rotated',
      backoff: quick,
    });
    await connection.opened();
    expect(urls).toEqual([]);
  });

  test('close is final, idempotent, and ends the socket and every wait', async () => {
    await using broker = await testBroker();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const states: string[] = [];
    const connection = connectBroker({
      url: proxy.through(broker.amqpUrl),
      name: 'closed',
      onState: ({ state }) => states.push(state),
    });
    await connection.opened();
    await Promise.all([connection.close(), connection.close()]);
    await eventually(() => proxy.connections === 0);
    expect(states).toEqual(['open', 'closed']);
    await expect(connection.opened()).rejects.toThrow(ClosedError);
    await connection[Symbol.asyncDispose]();
    expect(connection.isClosed).toBe(true);
  });

  test('close while connecting, and close while the peer is silent, end in bounded time', async () => {
    await using broker = await testBroker();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const url = proxy.through(broker.amqpUrl);
    await connectBroker({ url, name: 'at-once' }).close();
    const silent = connectBroker({ url, name: 'silent' });
    await silent.opened();
    proxy.stall();
    await silent.close(); // the time limit of the test is the bound
    expect(silent.isOpen).toBe(false);
  });
});
