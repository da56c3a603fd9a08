import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createManagementClient } from './management/client.ts';
import { createPublisher } from './publisher.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { Workbench } from './testing/workbench.ts';

const quorum = { 'x-queue-type': 'quorum' };
const queue = (name: string, extra: Record<string, unknown> = {}) => ({
  name,
  durable: true,
  autoDelete: false,
  arguments: { ...quorum, ...extra },
});

async function client() {
  const broker = await testBroker();
  const api = createManagementClient({ url: broker.managementUrl, vhost: broker.vhost });
  return {
    broker,
    api,
    async [Symbol.asyncDispose]() {
      await api.close();
      await broker[Symbol.asyncDispose]();
    },
  };
}

/** An HTTP server that answers as told, one answer a request. */
async function answering(
  ...answers: { status: number; body?: string; stall?: boolean; headers?: Record<string, string> }[]
) {
  const calls: string[] = [];
  const times: number[] = [];
  const statuses: (number | undefined)[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method ?? ''} ${request.url ?? ''}`);
    times.push(performance.now());
    const { status, body, stall, headers } = answers[Math.min(calls.length, answers.length) - 1]!;
    if (stall !== true)
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const api = createManagementClient({
    url: `http://user:secret-word@127.0.0.1:${(server.address() as AddressInfo).port}`,
    vhost: '/',
    timeoutMs: 1_500,
    observer: ({ status }) => statuses.push(status),
  });
  return {
    api,
    calls,
    times,
    statuses,
    async [Symbol.asyncDispose]() {
      await api.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('the management client', () => {
  test('declares and finds again exactly what it declared, and deletes it, each twice without harm', async () => {
    await using at = await client();
    const { api } = at;
    const exchange = { name: 'events', type: 'topic', durable: true, autoDelete: false, arguments: {} };
    const policy = {
      name: 'warren.abc',
      pattern: '^shop\\.loyalty$',
      applyTo: 'queues',
      priority: 3,
      definition: { 'max-length': 10 },
    };
    const binding = {
      source: 'events',
      destination: 'shop.loyalty',
      destinationType: 'queue' as const,
      routingKey: 'order.#',
      arguments: {},
    };
    for (let twice = 0; twice < 2; twice += 1) {
      await api.declareExchange(exchange);
      await api.putPolicy(policy);
      await api.declareQueue(queue('shop.loyalty'));
      await api.bind(binding);
    }
    const found = await api.inventory();
    expect(found.exchanges).toContainEqual({ ...exchange, internal: false });
    expect(found.policies).toEqual([policy]);
    expect(found.queues).toMatchObject([{ ...queue('shop.loyalty'), type: 'quorum', policy: 'warren.abc' }]);
    expect(found.bindings.filter(({ source }) => source !== '')).toMatchObject([binding]);
    for (let twice = 0; twice < 2; twice += 1) {
      await api.unbind(binding);
      await api.deleteQueue('shop.loyalty');
      await api.deletePolicy('warren.abc');
      await api.deleteExchange('events');
    }
    const left = await api.inventory();
    expect([left.queues, left.bindings, left.policies]).toEqual([[], [], []]);
    expect(await api.queue('shop.loyalty')).toBeUndefined();
    expect(await api.bindingsOf('shop.loyalty')).toEqual([]);
  });

  test('what is listed to be the same as before is the same array', async () => {
    await using at = await client();
    const { api } = at;
    await api.declareQueue(queue('shop.loyalty'));
    const counted = await eventually(async () => {
      const found = await api.inventory();
      return found.queues[0]?.messages === 0 ? found : undefined;
    });
    for (const [name, listing] of Object.entries(await api.inventory()))
      expect(listing).toBe(counted[name as keyof typeof counted]);
    await api.declareQueue(queue('shop.payment'));
    const changed = await api.inventory();
    expect(changed.queues.map(({ name }) => name)).toEqual(['shop.loyalty', 'shop.payment']);
    expect(changed.policies).toBe(counted.policies);
  });

  test('takes any name and any routing key', async () => {
    await using at = await client();
    const { api } = at;
    const names = ['a/b', 'a b?c=d&e', '100%', '%2F', 'ünï.☃', "it's", '...', 'a#b', 'a+b', '~'];
    await api.declareExchange({
      name: 'e/ü %',
      type: 'topic',
      durable: true,
      autoDelete: false,
      arguments: {},
    });
    for (const name of names) {
      await api.declareQueue(queue(name));
      await api.bind({
        source: 'e/ü %',
        destination: name,
        destinationType: 'queue',
        routingKey: name,
        arguments: { 'x-match': 'all', header: name },
      });
      await api.bind({
        source: 'e/ü %',
        destination: name,
        destinationType: 'queue',
        routingKey: name,
        arguments: {},
      });
    }
    const found = await api.inventory();
    expect(found.queues.map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const name of names) {
      const [one] = (await api.bindingsOf(name)).filter((each) => 'header' in each.arguments);
      await api.unbind(one!);
      expect((await api.bindingsOf(name)).filter(({ source }) => source !== '')).toMatchObject([
        { routingKey: name, arguments: {} },
      ]);
      await api.unbind({ ...one!, arguments: {} });
      expect((await api.bindingsOf(name)).filter(({ source }) => source !== '')).toEqual([]);
      await api.deleteQueue(name);
    }
    expect((await api.inventory()).queues).toEqual([]);
    await expect(api.deleteQueue('..')).rejects.toMatchObject({ code: 'WARREN_BROKER_REFUSED' });
  });

  test('reads thousands of queues in one call', async () => {
    await using at = await client();
    await using bench = await Workbench.open(at.broker.amqpUrl);
    const names = Array.from({ length: 1_203 }, (_, index) => `q${index}`);
    await Promise.all(
      names.map((name) => bench.channel.assertQueue(name, { arguments: { 'x-queue-type': 'classic' } })),
    );
    const { queues } = await at.api.inventory();
    expect(new Set(queues.map(({ name }) => name))).toEqual(new Set(names));
  });

  test('counts ready, unacknowledged and delayed messages and consumers', async () => {
    await using at = await client();
    await using bench = await Workbench.open(at.broker.amqpUrl);
    await bench.subscription({ retryMs: { min: 60_000, max: 60_000 } });
    await bench.publish(['a', 'b', 'c', 'd']);
    await bench.channel.prefetch(2);
    let taken = 0;
    await bench.channel.consume('shop.test', (message) => {
      taken += 1;
      if (taken === 1) bench.channel.reject(message!, true);
    });
    await eventually(async () => {
      expect((await at.api.queueStats()).get('shop.test')).toEqual({
        messages: 4,
        ready: 1,
        unacked: 2,
        delayed: 1,
        consumers: 1,
        state: 'running',
      });
      return true;
    });
    expect((await at.api.queueStats()).get('shop.test.dead')).toMatchObject({ messages: 0, consumers: 0 });
    expect(await at.api.queue('shop.test')).toMatchObject({ messages: 4, ready: 1, unacked: 2 });
  });

  test('counts what a queue has done, of those it is asked for alone', async () => {
    await using at = await client();
    await using bench = await Workbench.open(at.broker.amqpUrl);
    await bench.subscription({ retryMs: { min: 60_000, max: 60_000 } });
    await bench.publish(['a', 'b', 'c']);
    await bench.channel.consume('shop.test', (message) => {
      if (message?.fields.redelivered === false && message.fields.deliveryTag === 1)
        bench.channel.reject(message, true);
      else bench.channel.ack(message!);
    });
    await eventually(async () => {
      const found = await at.api.queueActivity(['shop.test', 'shop+test', 'nowhere']);
      expect([...found.keys()]).toEqual(['shop.test']);
      expect(found.get('shop.test')).toEqual({
        ...{ ready: 0, unacked: 0, delayed: 1, consumers: 1 },
        ...{ acked: 2, redelivered: 0, published: 3, delayedUntil: expect.any(Number) },
      });
      return true;
    });
    const idle = { ready: 0, unacked: 0, delayed: 0, consumers: 0, acked: 0, redelivered: 0, published: 0 };
    await bench.channel.assertQueue('idle', { arguments: { 'x-queue-type': 'quorum' } });
    await eventually(async () => {
      expect((await at.api.queueActivity(['idle'])).get('idle')).toEqual(idle);
      return true;
    });
    expect(await at.api.queueActivity([])).toEqual(new Map());
  });

  test('knows the version and that there is no alarm', async () => {
    await using at = await client();
    expect((await at.api.overview()).version).toMatch(/^\d+\.\d+\.\d+/);
    expect(await at.api.alarms()).toEqual([]);
  });

  test('says what kind of failure it was', async () => {
    await using at = await client();
    const { api, broker } = at;
    await api.declareQueue(queue('q'));
    await expect(api.declareQueue(queue('q', { 'x-max-length': 1 }))).rejects.toMatchObject({
      code: 'WARREN_BROKER_CONFLICT',
      status: 400,
    });
    await expect(
      api.bind({ source: 'nope', destination: 'q', destinationType: 'queue', routingKey: '', arguments: {} }),
    ).rejects.toMatchObject({ code: 'WARREN_BROKER_NOT_FOUND' });
    await expect(
      api.putPolicy({
        name: 'p',
        pattern: '(',
        applyTo: 'queues',
        priority: 0,
        definition: { 'max-length': 'x' },
      }),
    ).rejects.toMatchObject({ code: 'WARREN_BROKER_REFUSED' });

    const url = new URL(broker.managementUrl);
    url.password = 'wrong-password';
    await using stranger = createManagementClient({ url: url.href, vhost: broker.vhost });
    const refused = stranger.inventory();
    await expect(refused).rejects.toMatchObject({ code: 'WARREN_BROKER_UNAUTHORIZED', status: 401 });
    await expect(refused).rejects.not.toThrow(/wrong-password/);
    await using nowhere = createManagementClient({ url: broker.managementUrl, vhost: 'no such vhost' });
    await expect(nowhere.inventory()).rejects.toMatchObject({ code: 'WARREN_BROKER_NOT_FOUND' });
    await using unreachable = createManagementClient({ url: 'http://u:hidden-word@127.0.0.1:1', vhost: '/' });
    await expect(unreachable.overview()).rejects.toMatchObject({ code: 'WARREN_BROKER_UNREACHABLE' });
    await expect(unreachable.overview()).rejects.not.toThrow(/hidden-word/);
  });

  test('tries again after a 5xx and a cut socket, not after a 4xx', async () => {
    await using failing = await answering(
      { status: 503 },
      { status: 500 },
      { status: 200, body: '{"rabbitmq_version":"4.3.6"}' },
    );
    expect(await failing.api.overview()).toEqual({ version: '4.3.6', clusterName: '' });
    expect(failing.calls).toHaveLength(3);

    await using refusing = await answering({ status: 400, body: '{"error":"bad_request","reason":"no"}' });
    await expect(refusing.api.overview()).rejects.toMatchObject({ code: 'WARREN_BROKER_REFUSED' });
    expect(refusing.calls).toHaveLength(1);

    await using at = await client();
    await using proxy = await tcpProxy(at.broker.managementUrl);
    await using api = createManagementClient({
      url: proxy.through(at.broker.managementUrl),
      vhost: at.broker.vhost,
    });
    for (let cut = 0; cut < 5; cut += 1) {
      await api.overview();
      proxy.cut();
    }
    await api.overview();
  });

  test('has a time limit for a server that never answers, and refuses answers that are not RabbitMQ', async () => {
    await using silent = await answering({ status: 200, stall: true });
    await expect(silent.api.overview()).rejects.toMatchObject({
      code: 'WARREN_BROKER_UNREACHABLE',
      message: expect.stringMatching(/no answer within 1500 ms/),
    });
    await using page = await answering({ status: 200, body: '<html>' });
    await expect(page.api.overview()).rejects.toMatchObject({ code: 'WARREN_BROKER_BAD_ANSWER' });
    await using other = await answering({ status: 200, body: '{"version":1}' });
    await expect(other.api.overview()).rejects.toThrow(/unexpected answer at "rabbitmq_version"/);
  });

  test('alarms of the broker are told, not tried away', async () => {
    const body = '{"status":"failed","reason":"alarms","alarms":[{"node":"rabbit@a","resource":"disk"}]}';
    await using failing = await answering({ status: 503, body });
    expect(await failing.api.alarms()).toEqual([{ node: 'rabbit@a', resource: 'disk' }]);
    expect(failing.calls).toHaveLength(1);
  });

  test("takes nobody else's word for that of RabbitMQ, whatever its status", async () => {
    const page = '<html>not here</html>';
    for (const [status, body] of [
      [404, page],
      [404, ''],
      [302, ''],
      [200, page],
    ] as const) {
      await using other = await answering({ status, body });
      const { api } = other;
      const bad = { code: 'WARREN_BROKER_BAD_ANSWER', status };
      await expect(api.queue('q')).rejects.toMatchObject(bad);
      await expect(api.deleteQueue('q')).rejects.toMatchObject(bad);
    }
    await using alarm = await answering({ status: 503, body: page });
    await expect(alarm.api.alarms()).rejects.toMatchObject({ code: 'WARREN_BROKER_BAD_ANSWER' });
    await using passing = await answering(
      { status: 200, body: page },
      { status: 200, body: '{"rabbitmq_ver' },
      { status: 404, body: page },
      { status: 200, body: '{"rabbitmq_version":"4.3.6"}' },
    );
    expect(await passing.api.overview()).toMatchObject({ version: '4.3.6' });
  });

  test('leaves a server alone for as long as it asks for, with all of its calls', async () => {
    const version = { status: 200, body: '{"rabbitmq_version":"4.3.6"}' };
    await using busy = await answering({ status: 429, headers: { 'retry-after': '1' } }, version);
    const first = busy.api.overview();
    await eventually(() => busy.statuses.length === 1);
    await expect(Promise.all([first, busy.api.overview(), busy.api.overview()])).resolves.toHaveLength(3);
    const [asked = 0, ...later] = busy.times;
    expect(later).toHaveLength(3);
    expect(Math.min(...later) - asked).toBeGreaterThanOrEqual(990);
    await using refusing = await answering({ status: 429 });
    await expect(refusing.api.overview()).rejects.toMatchObject({
      code: 'WARREN_BROKER_FAILED',
      status: 429,
    });
  });

  test('keeps many calls within its bound and ends them at close', async () => {
    await using at = await client();
    const api = createManagementClient({
      url: at.broker.managementUrl,
      vhost: at.broker.vhost,
      maxParallel: 4,
    });
    await Promise.all(Array.from({ length: 100 }, (_, index) => api.declareQueue(queue(`q${index % 20}`))));
    expect((await api.inventory()).queues).toHaveLength(20);
    const abort = new AbortController();
    abort.abort(new Error('no longer wanted'));
    await expect(api.overview({ signal: abort.signal })).rejects.toThrow('no longer wanted');
    const pending = Promise.allSettled(Array.from({ length: 20 }, () => api.inventory()));
    await api.close();
    for (const result of await pending) expect(result.status).toBe('rejected');
    await expect(api.overview()).rejects.toMatchObject({ code: 'WARREN_CLOSED' });
  });

  test('lets go at once of a caller that gives up while its call waits for its turn', async () => {
    await using silent = await answering({ status: 200, stall: true });
    const api = silent.api;
    const running = Promise.allSettled(Array.from({ length: 16 }, () => api.overview()));
    await eventually(() => silent.calls.length === 16);
    const abort = new AbortController();
    const waiting = [
      api.overview({ signal: abort.signal }),
      api.overview(),
      api.overview({ signal: abort.signal }),
    ];
    const settled = Promise.allSettled(waiting);
    abort.abort(new Error('no longer wanted'));
    await expect(waiting[0]).rejects.toThrow('no longer wanted');
    await expect(waiting[2]).rejects.toThrow('no longer wanted');
    expect(silent.calls).toHaveLength(16);
    await running;
    // Those who left have left no hole: the one that stayed got its turn, and so does the next.
    await settled;
    expect(silent.calls).toHaveLength(17);
    await expect(api.overview()).rejects.toMatchObject({ code: 'WARREN_BROKER_UNREACHABLE' });
  });

  test('a connection closed by an administrator comes back, and publishing goes on', async () => {
    await using at = await client();
    await using bench = await Workbench.open(at.broker.amqpUrl);
    await bench.subscription();
    let opened = 0;
    await using connection = connectBroker({
      url: at.broker.amqpUrl,
      name: 'to-be-closed',
      onState: ({ state }) => (opened += Number(state === 'open')),
    });
    await using publisher = createPublisher(connection, { exchange: 'events' });
    const publish = () => publisher.publish({ routingKey: 'order.placed', content: Buffer.from('x') });
    await publish();
    const victim = await eventually(
      async () =>
        (await at.api.connections()).find(({ clientName }) => clientName === 'to-be-closed') ?? false,
    );
    await at.api.closeConnection(victim.name, 'for a test');
    await eventually(() => opened === 2);
    await publish();
  });
});
