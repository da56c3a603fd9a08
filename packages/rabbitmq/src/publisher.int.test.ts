import { describe, expect, jest, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import type { TestBroker } from '@warren/environment/testing';
import { connectBroker } from './connection.ts';
import { createManagementClient } from './management/client.ts';
import { hashPassword } from './management/users.ts';
import { createPublisher } from './publisher.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { Workbench } from './testing/workbench.ts';

const quick = { initialMs: 20, maxMs: 100 };

function message(id: string, routingKey = 'order.placed') {
  return { routingKey, content: Buffer.from(id), properties: { messageId: id, type: 'OrderPlaced' } };
}

/** A user that may publish `order.placed` to `events`, until it may publish everything there. */
async function onlyOrderPlaced({ amqpUrl, managementUrl, vhost }: TestBroker) {
  const api = createManagementClient({ url: managementUrl, vhost });
  const name = `publisher-${vhost}`;
  await api.putUser({ name, passwordHash: hashPassword('a-password'), tags: [] });
  await api.putTopicPermission(name, { exchange: 'events', write: '^order[.]placed$', read: '^$' });
  await api.putPermission(name, { configure: '^$', write: '^events$', read: '^$' });
  expect((await api.topicPermissions()).filter(({ user }) => user === name)).toHaveLength(1);
  return {
    url: Object.assign(new URL(amqpUrl), { username: name, password: 'a-password' }).href,
    everything: () => api.deleteTopicPermissions(name),
    [Symbol.asyncDispose]: async () => {
      await api.deleteUser(name);
      await api.close();
    },
  };
}

describe('a publisher', () => {
  test('has each message on the queue, persistent and in order, when its publish resolves', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events', window: 50 });
    const ids = Array.from({ length: 2_000 }, (_, index) => `m${index}`);
    await Promise.all(ids.map((id) => publisher.publish(message(id))));
    expect(publisher.outstanding + publisher.waiting).toBe(0);
    const taken = await bench.take('shop.test');
    expect(taken.map(({ content }) => content.toString())).toEqual(ids);
    expect(taken[0]!.properties).toMatchObject({ deliveryMode: 2, messageId: 'm0', type: 'OrderPlaced' });
  });

  test('never has more outstanding than its window', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events', window: 7 });
    let most = 0;
    await Promise.all(
      Array.from({ length: 500 }, async (_, index) => {
        const done = publisher.publish(message(`m${index}`));
        most = Math.max(most, publisher.outstanding);
        await done;
        most = Math.max(most, publisher.outstanding);
      }),
    );
    expect(most).toBe(7);
  });

  test('survives its own back-pressure: large messages past the socket buffer', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events', window: 1_000 });
    const content = Buffer.alloc(300_000, 1);
    await Promise.all(
      Array.from({ length: 300 }, () => publisher.publish({ routingKey: 'order.placed', content })),
    );
    expect(await bench.ready('shop.test')).toBe(300);
  });

  test.each([
    ['with ids of their own', (index: number) => ({ messageId: `m${index}` })],
    ['with one id for all', () => ({ messageId: 'same-id' })],
    ['without ids', () => ({})],
  ])('rejects what no queue takes, and only that, among messages %s', async (_what, properties) => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.channel.assertQueue('bound', { arguments: { 'x-queue-type': 'quorum' } });
    await bench.channel.bindQueue('bound', 'events', 'known');
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events' });
    const results = await Promise.allSettled(
      Array.from({ length: 400 }, (_, index) =>
        publisher.publish({
          routingKey: index % 2 ? 'known' : 'unknown',
          content: Buffer.from('x'),
          properties: properties(index),
        }),
      ),
    );
    results.forEach((result, index) => {
      if (index % 2) expect(result.status).toBe('fulfilled');
      else expect(result).toMatchObject({ reason: { code: 'WARREN_UNROUTABLE', routingKey: 'unknown' } });
    });
    expect(await bench.ready('bound')).toBe(200);
  });

  test('tells what its user may not publish from what went down with its channel, and goes on', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using may = await onlyOrderPlaced(broker);
    await using connection = connectBroker({ url: may.url, name: 'p', backoff: quick });
    await using publisher = createPublisher(connection, { exchange: 'events', forbiddenMs: 100 });
    const sent = [message('a'), message('b', 'order.paid'), message('c')].map((one) =>
      publisher.publish(one),
    );
    const [a, b, c] = await Promise.allSettled(sent);
    expect(b).toMatchObject({ reason: { code: 'WARREN_PUBLISH_FORBIDDEN', routingKey: 'order.paid' } });
    for (const neighbour of [a, c])
      if (neighbour?.status === 'rejected')
        expect(neighbour.reason).toMatchObject({ code: 'WARREN_OUTCOME_UNKNOWN' });
    await publisher.publish(message('d'));
    const elsewhere = publisher.publish({ ...message('e'), exchange: 'failed_events' });
    await expect(elsewhere).rejects.toMatchObject({ code: 'WARREN_PUBLISH_FORBIDDEN' });
    await may.everything();
    await eventually(() =>
      publisher.publish(message('f', 'order.paid')).then(
        () => true,
        () => false,
      ),
    );
  });

  test('what was refused is not sent again for a while, so that its neighbours keep their channel', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using may = await onlyOrderPlaced(broker);
    await using connection = connectBroker({ url: may.url, name: 'p', backoff: quick });
    await using publisher = createPublisher(connection, { exchange: 'events', window: 2 });
    const paid = Array.from({ length: 10 }, (_, index) =>
      publisher.publish(message(`paid-${index}`, 'order.paid')),
    );
    const refused = expect.objectContaining({ code: 'WARREN_PUBLISH_FORBIDDEN' });
    for (const result of await Promise.allSettled(paid)) expect(result).toMatchObject({ reason: refused });
    // Would they be sent, one of these would go down with their channel.
    for (let round = 0; round < 20; round += 1) {
      const [held, placed] = await Promise.allSettled([
        publisher.publish(message(`held-${round}`, 'order.paid')),
        publisher.publish(message(`placed-${round}`)),
      ]);
      expect(held).toMatchObject({ reason: refused });
      expect(placed).toMatchObject({ status: 'fulfilled' });
    }
  });

  test('rejects what a full queue refuses', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.channel.assertQueue('full', {
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 2, 'x-overflow': 'reject-publish' },
    });
    await bench.channel.bindQueue('full', 'events', '#');
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events' });
    await expect(
      (async () => {
        for (let n = 0; n < 20; n += 1) await publisher.publish(message(`m${n}`));
      })(),
    ).rejects.toMatchObject({ code: 'WARREN_NACKED' });
  });

  test('a cut connection: what was sent is of unknown outcome, what resolved is there, and it goes on', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'p', backoff: quick });
    await using publisher = createPublisher(connection, { exchange: 'events', window: 200 });
    const outcomes = new Map<string, string>();
    let next = 0;
    let going = true;
    const worker = async (): Promise<void> => {
      while (going) {
        const id = `m${next++}`;
        await publisher.publish(message(id)).then(
          () => outcomes.set(id, 'resolved'),
          (error: unknown) => outcomes.set(id, (error as { code: string }).code),
        );
      }
    };
    const workers = Array.from({ length: 100 }, worker);
    const count = (outcome: string) => [...outcomes.values()].filter((each) => each === outcome).length;
    for (let cut = 1; cut <= 3; cut += 1) {
      const before = count('resolved');
      await eventually(() => count('resolved') > before + 500);
      proxy.cut();
    }
    const before = count('resolved');
    await eventually(() => count('resolved') > before + 500);
    going = false;
    await Promise.all(workers);
    expect(count('WARREN_OUTCOME_UNKNOWN')).toBeGreaterThan(0);
    expect(new Set(outcomes.values())).toEqual(new Set(['resolved', 'WARREN_OUTCOME_UNKNOWN']));
    const there = new Set((await bench.take('shop.test')).map(({ content }) => content.toString()));
    for (const [id, outcome] of outcomes) if (outcome === 'resolved') expect(there.has(id)).toBe(true);
  });

  test('waits for a broker that is away, up to its bound, and then says that nothing was sent', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    const url = proxy.through(broker.amqpUrl);
    await proxy.down();
    await using connection = connectBroker({ url, name: 'p', backoff: quick });
    await using hasty = createPublisher(connection, { exchange: 'events', waitMs: 200 });
    await using patient = createPublisher(connection, { exchange: 'events', waitMs: 30_000 });
    const later = patient.publish(message('later'));
    await expect(hasty.publish(message('never'))).rejects.toMatchObject({
      code: 'WARREN_BROKER_UNAVAILABLE',
    });
    await proxy.restore();
    await later;
    expect((await bench.take('shop.test')).map(({ content }) => content.toString())).toEqual(['later']);
  });

  test('a broker that goes silent: the confirm has a time limit, and a new channel follows', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({
      url: proxy.through(broker.amqpUrl),
      name: 'p',
      backoff: quick,
      connectTimeoutMs: 1_000,
    });
    await using publisher = createPublisher(connection, { exchange: 'events', confirmTimeoutMs: 300 });
    await publisher.publish(message('first'));
    proxy.stall();
    await expect(publisher.publish(message('second'))).rejects.toMatchObject({
      code: 'WARREN_OUTCOME_UNKNOWN',
    });
    await proxy.restore();
    await eventually(() => publisher.publish(message('third')).then(() => true));
  });

  test('a clock that is set back leaves no publish without an answer', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'p', backoff: quick });
    await using publisher = createPublisher(connection, { exchange: 'events', confirmTimeoutMs: 300 });
    await publisher.publish(message('first'));
    proxy.stall();
    const second = publisher.publish(message('second'));
    const anHourAgo = Date.now() - 3_600_000;
    using _ = jest.spyOn(Date, 'now').mockReturnValue(anHourAgo);
    await expect(second).rejects.toMatchObject({ code: 'WARREN_OUTCOME_UNKNOWN' });
  });

  test('a channel closed by the broker (exchange missing) comes back alone; the connection stays', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    let opened = 0;
    await using connection = connectBroker({
      url: broker.amqpUrl,
      name: 'p',
      onState: ({ state }) => (opened += Number(state === 'open')),
    });
    await using publisher = createPublisher(connection, { exchange: 'events' });
    const lost = publisher.publish({ ...message('lost'), exchange: 'no-such-exchange' });
    await expect(lost).rejects.toMatchObject({ code: 'WARREN_OUTCOME_UNKNOWN' });
    await expect(lost).rejects.toHaveProperty('cause.message', expect.stringMatching(/no exchange/));
    await publisher.publish(message('after'));
    expect(opened).toBe(1);
  });

  test('a message that can not be encoded or is too large fails alone', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using connection = connectBroker({ url: broker.amqpUrl, name: 'p' });
    await using publisher = createPublisher(connection, { exchange: 'events', maxMessageBytes: 1_000 });
    const bad = [
      { ...message('a'), properties: { headers: { big: 'x'.repeat(70_000) } } },
      { ...message('b'), content: Buffer.alloc(1_001) },
      { ...message('c'), routingKey: 'k'.repeat(300) },
    ];
    const results = await Promise.allSettled([
      publisher.publish(message('first')),
      ...bad.map((each) => publisher.publish(each)),
      publisher.publish(message('last')),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
      'fulfilled',
    ]);
    for (const result of results.slice(1, 4)) {
      expect(result).toMatchObject({ reason: { code: 'WARREN_MESSAGE_REFUSED' } });
    }
  });

  test('close waits for outstanding confirms, and leaves nothing pending', async () => {
    await using broker = await testBroker();
    await using bench = await Workbench.open(broker.amqpUrl);
    await bench.subscription();
    await using proxy = await tcpProxy(broker.amqpUrl);
    await using connection = connectBroker({ url: proxy.through(broker.amqpUrl), name: 'p' });
    const graceful = createPublisher(connection, { exchange: 'events' });
    await graceful.publish(message('warm'));
    const sent = Promise.all(
      Array.from({ length: 100 }, (_, index) => graceful.publish(message(`m${index}`))),
    );
    await Promise.all([graceful.close(), graceful.close(), sent]);
    await expect(graceful.publish(message('after'))).rejects.toMatchObject({ code: 'WARREN_CLOSED' });

    const hurried = createPublisher(connection, { exchange: 'events', window: 1 });
    await hurried.publish(message('warm'));
    proxy.stall();
    const results = Promise.allSettled([
      hurried.publish(message('sent')),
      hurried.publish(message('waiting')),
    ]);
    const closed = hurried.close({ drainMs: 50 });
    expect(await results).toMatchObject([
      { reason: { code: 'WARREN_OUTCOME_UNKNOWN' } },
      { reason: { code: 'WARREN_CLOSED' } },
    ]);
    await proxy.restore();
    await closed;
  });
});
