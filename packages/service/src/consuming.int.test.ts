import { describe, expect, test } from '@jest/globals';
import { encodeEvent, OrderCompleted, PointsEarned, shopCatalogue } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import type { Decider } from '@warren/event-store';
import { defineService } from './definition.ts';
import { on } from './handlers.ts';
import type { HandlerContext } from './handlers.ts';
import { asEvent, ask, openWorkbench } from './testing/index.ts';
import { tcpProxy } from '../../rabbitmq/src/testing/tcp-proxy.ts';

const bench = async () =>
  openWorkbench({
    broker: await testBroker(),
    database: await testDatabase(),
    env: { HANDLER_TIMEOUT_MS: '5000' },
  });

const order = (id: string, more: Partial<Event> = {}): Event =>
  asEvent(
    OrderCompleted.create({ orderId: id, userId: 'user-1', total: 10, paymentId: `payment-${id}` }),
    0,
    { id: `event-${id}`, aggregateId: id, correlationId: `correlation-${id}`, ...more },
  );

type Earn = { readonly orderId: string };
const points: Decider<number, Earn> = {
  initial: 0,
  evolve: (sum, event) => (PointsEarned.is(event) ? sum + event.data.points : sum),
  decide: ({ orderId }) => [PointsEarned.create({ userId: 'user-1', orderId, points: 10 })],
};

/** A service with one subscription, `points`, that does what the test says. */
const service = (handle: (event: Event, context: HandlerContext) => Promise<void>) =>
  defineService({
    name: 'points',
    catalogue: shopCatalogue,
    parts: () => ({ consumers: { points: [on(OrderCompleted, handle)] } }),
  });

const earning = service(({ aggregateId }, { execute }) =>
  execute(points, 'account-1', { orderId: aggregateId }),
);

/** The value of a metric with these labels; undefined when it is not there. */
async function metric(
  url: string,
  name: string,
  labels: Record<string, string>,
): Promise<number | undefined> {
  const { text } = await ask(`${url}/metrics`);
  const line = text
    .split('\n')
    .find(
      (each) =>
        each.startsWith(`${name}{`) &&
        Object.entries(labels).every(([key, value]) => each.includes(`${key}="${value}"`)),
    );
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}

describe('a service that consumes', () => {
  test('lets an event take effect once, however often it is delivered, and names it as the cause', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['order.completed']);
    const running = await ground.start(earning);
    await subscription.publish(order('o1'), order('o1'), order('o2'), order('o1'));
    await eventually(() => ground.spy.events('PointsEarned').length === 2);
    await eventually(
      async () => (await metric(running.url, 'warren_events_consumed_total', { outcome: 'duplicate' })) === 2,
    );
    expect(await metric(running.url, 'warren_events_consumed_total', { outcome: 'handled' })).toBe(2);
    const earned = ground.spy.events('PointsEarned');
    expect(earned).toHaveLength(2);
    expect(earned.map(({ version }) => version)).toEqual([1, 2]);
    expect(earned.find(({ correlationId }) => correlationId === 'correlation-o1')).toMatchObject({
      causationId: 'event-o1',
      aggregateId: 'account-1',
      source: 'points',
    });
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('tells events of two publishers apart that number theirs both from 1, and a redelivery of each', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['order.completed']);
    const sent: string[] = [];
    const running = await ground.start(
      service(async ({ aggregateId }, { execute, once }) => {
        await once(() => Promise.resolve(void sent.push(aggregateId)));
        await execute(points, 'account-1', { orderId: aggregateId });
      }),
    );
    const both = [
      order('a', { id: '1', source: 'legacy-a' }),
      order('b', { id: '1', source: 'legacy-b' }),
    ] as const;
    await subscription.publish(...both);
    await eventually(() => ground.spy.events('PointsEarned').length === 2);
    await subscription.publish(...both);
    await eventually(
      async () => (await metric(running.url, 'warren_events_consumed_total', { outcome: 'duplicate' })) === 2,
    );
    expect(sent.sort()).toEqual(['a', 'b']);
    const earned = ground.spy.events('PointsEarned').map(({ data }) => (data as Earn).orderId);
    expect([...new Set(earned)].sort()).toEqual(['a', 'b']);
  });

  test.each([
    ['is not JSON', Buffer.from('{"orderId":'), 'WARREN_MALFORMED_EVENT'],
    [
      'is not of its schema',
      Buffer.from('{"orderId":"o1","userId":7,"total":10,"paymentId":"p"}'),
      'WARREN_CONTRACT_VIOLATION',
    ],
  ])(
    'sets a message aside that %s, with the reason in a header, and goes on with the others',
    async (_, content, code) => {
      await using ground = await bench();
      const subscription = await ground.subscribe('points', ['order.completed'], { prefetch: 1 });
      const running = await ground.start(earning);
      await subscription.publishRaw('order.completed', content, encodeEvent(order('bad')).properties);
      await subscription.publish(order('good'));
      const dead = await eventually(() => subscription.deadLetter());
      expect(dead.content.equals(content)).toBe(true);
      expect(dead.properties.headers).toMatchObject({
        'warren-failure-code': code,
        'warren-failure-attempts': 1,
        'warren-failure-subscription': 'test/points',
        'warren-original-routing-key': 'order.completed',
      });
      const reason = String(dead.properties.headers?.['warren-failure-reason']);
      expect(reason).toMatch(
        code === 'WARREN_CONTRACT_VIOLATION' ? /OrderCompleted version 1: userId: / : /JSON/,
      );
      await eventually(() => ground.spy.events('PointsEarned').length === 1);
      expect(await metric(running.url, 'warren_dead_letters_total', { subscription: 'points', code })).toBe(
        1,
      );
      expect(await subscription.depth()).toBe(0);
    },
  );

  test('sets a message aside that is no event at all', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#']);
    await ground.start(earning);
    await subscription.publishRaw('order.completed', Buffer.from('hello'));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({ 'warren-failure-code': 'WARREN_MALFORMED_EVENT' });
  });

  test('reads an event of a newer producer with fields that it does not know, and ignores types that nobody here handles', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#']);
    const seen: Event[] = [];
    const running = await ground.start(
      service((event) => {
        seen.push(event);
        return Promise.resolve();
      }),
    );
    const { data, ...rest } = order('o1');
    await subscription.publish(asEvent({ type: 'UniverseEnded', data: {} }, 7, { id: 'event-x' }), {
      ...rest,
      data: { ...(data as object), giftWrap: true },
    });
    await eventually(() => seen.length === 1);
    expect(seen[0]?.data).toMatchObject({ orderId: 'o1', giftWrap: true });
    await eventually(
      async () =>
        (await metric(running.url, 'warren_events_consumed_total', {
          type: 'unknown',
          outcome: 'ignored',
        })) === 1,
    );
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('tries a message `attempts` times with growing delay, then sets it aside with its reason, while others pass', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#'], { attempts: 4, retryMs: 200, prefetch: 2 });
    const tries: { attempt: number; at: number }[] = [];
    const others: string[] = [];
    const running = await ground.start(
      service(({ aggregateId }, { attempt }) => {
        if (aggregateId !== 'poison') {
          others.push(aggregateId);
          return Promise.resolve();
        }
        tries.push({ attempt, at: performance.now() });
        throw Object.assign(new Error('the till is jammed'), { code: 'TILL_JAMMED' });
      }),
    );
    await subscription.publish(
      order('poison'),
      ...Array.from({ length: 20 }, (_, index) => order(`o${index}`)),
    );
    const dead = await eventually(() => subscription.deadLetter());
    expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    const delays = tries.slice(1).map(({ at }, index) => at - (tries[index]?.at ?? 0));
    expect(delays[1]).toBeGreaterThan(delays[0]!);
    expect(delays[2]).toBeGreaterThan(delays[1]!);
    expect(dead.properties.headers).toMatchObject({
      'warren-failure-code': 'TILL_JAMMED',
      'warren-failure-reason': 'the till is jammed',
      'warren-failure-attempts': 4,
    });
    expect(others).toHaveLength(20);
    await eventually(
      async () => (await metric(running.url, 'warren_dead_letters_total', { code: 'TILL_JAMMED' })) === 1,
    );
    expect(await metric(running.url, 'warren_consumer_retries_total', { subscription: 'points' })).toBe(3);
    expect(await metric(running.url, 'warren_events_consumed_total', { outcome: 'failed' })).toBe(4);
  });

  test('spends attempts on what fails elsewhere with a code that a database has, too', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#'], { attempts: 2, retryMs: 50 });
    await ground.start(
      service(() => Promise.reject(Object.assign(new Error('PERMISSION_DENIED'), { code: 7 }))),
    );
    await subscription.publish(order('poison'));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({
      'warren-failure-reason': 'PERMISSION_DENIED',
      'warren-failure-attempts': 2,
    });
  });

  test('gives a slow handler a time limit, aborts its signal, and lets the others pass meanwhile', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#'], { attempts: 2, prefetch: 2 });
    const aborted: unknown[] = [];
    const others: string[] = [];
    await ground.start(
      service(({ aggregateId }, { signal }) => {
        if (aggregateId === 'slow') {
          return new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              aborted.push(signal.reason);
              reject(signal.reason as Error);
            });
          });
        }
        others.push(aggregateId);
        return Promise.resolve();
      }),
      { HANDLER_TIMEOUT_MS: '200' },
    );
    await subscription.publish(order('slow'), order('o1'), order('o2'));
    const dead = await eventually(() => subscription.deadLetter());
    expect(dead.properties.headers).toMatchObject({ 'warren-failure-code': 'WARREN_HANDLER_TIMEOUT' });
    expect(aborted).toHaveLength(2);
    expect(others.sort()).toEqual(['o1', 'o2']);
  });

  test('does an outside effect once for a message that comes twice, with a key that stays the same', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('points', ['#'], { attempts: 5 });
    const keys: string[] = [];
    let answers: string[] = [];
    await ground.start(
      service(async (_event, { once, attempt }) => {
        const answer = await once((key) => {
          keys.push(key);
          if (attempt === 1 && keys.length === 1) throw new Error('the mail server hung up');
          return Promise.resolve();
        });
        answers = [...answers, answer];
      }),
    );
    await subscription.publish(order('o1'));
    await eventually(() => answers.length === 1);
    await subscription.publish(order('o1'));
    await eventually(() => answers.length === 2);
    expect(answers).toEqual(['now', 'before']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  test('does an outside effect once though the database goes away with it, and no attempt is spent', async () => {
    await using ground = await bench();
    const mongodbUrl = ground.env['MONGODB_URL'] ?? '';
    await using proxy = await tcpProxy(mongodbUrl);
    const subscription = await ground.subscribe('points', ['#'], { attempts: 2 });
    const answers: string[] = [];
    let effects = 0;
    const running = await ground.start(
      service(async (_event, { once }) => {
        const answer = await once(async () => {
          await proxy.down();
          effects += 1;
        });
        answers.push(answer);
      }),
      { MONGODB_URL: proxy.through(mongodbUrl), HANDLER_TIMEOUT_MS: '40000' },
    );
    await subscription.publish(order('o1'));
    await eventually(async () => (await subscription.depth()) === 1 && effects === 1);
    await proxy.restore();
    await eventually(() => answers.length === 1, { timeoutMs: 40_000 });
    expect(answers).toEqual(['before']);
    expect(effects).toBe(1);
    expect(
      await metric(running.url, 'warren_consumer_retries_total', { subscription: 'points' }),
    ).toBeUndefined();
    expect(await subscription.deadLetter()).toBeUndefined();
  }, 90_000);

  test('takes nothing while its database is away: the messages wait in their queue, and no attempt is spent', async () => {
    await using ground = await bench();
    const mongodbUrl = ground.env['MONGODB_URL'] ?? '';
    await using proxy = await tcpProxy(mongodbUrl);
    const subscription = await ground.subscribe('points', ['order.completed'], { attempts: 2, prefetch: 3 });
    const running = await ground.start(earning, {
      MONGODB_URL: proxy.through(mongodbUrl),
      HANDLER_TIMEOUT_MS: '20000',
    });
    await subscription.publish(order('before'));
    await eventually(() => ground.spy.events('PointsEarned').length === 1);
    await proxy.down();
    await subscription.publish(...Array.from({ length: 10 }, (_, index) => order(`o${index}`)));
    await eventually(async () =>
      (await ask(`${running.url}/readyz`)).text.includes('It pauses while the database is away.'),
    );
    await eventually(async () => (await subscription.depth()) === 10);
    await proxy.restore();
    await eventually(() => ground.spy.events('PointsEarned').length === 11, { timeoutMs: 40_000 });
    await eventually(async () => (await ask(`${running.url}/readyz`)).status === 200);
    expect(
      await metric(running.url, 'warren_events_consumed_total', { outcome: 'postponed' }),
    ).toBeGreaterThan(0);
    expect(
      await metric(running.url, 'warren_consumer_retries_total', { subscription: 'points' }),
    ).toBeUndefined();
    expect(await subscription.deadLetter()).toBeUndefined();
  }, 90_000);
});
