/** What is promised holds on every RabbitMQ that is to be had here, whatever the type of the queue. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  brokerVersions,
  dedicatedBroker,
  eventually,
  manage,
  testBroker,
  testEndpoints,
  type DedicatedBroker,
  type TestBroker,
} from '@warren/environment/testing';
import type { Delivery } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from './testing/folder-operator.ts';
import { deadLettersOf, readSettingsOf, virtualHost } from './testing/virtual-host.ts';

const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `m${from + index}`);
const idOf = ({ content }: Delivery) => content.toString();
const kinds = [
  ['quorum', {}],
  ['classic', { queue: { type: 'classic' } }],
  ['stream', { queue: { type: 'stream', maxAge: '1d' }, deletionPolicy: 'Delete' }],
] as const;

describe.each(brokerVersions())('on RabbitMQ %s', (version) => {
  let dedicated: DedicatedBroker | undefined;

  beforeAll(async () => {
    if (!(await runningVersion()).startsWith(version)) dedicated = await dedicatedBroker({ version });
  }, 240_000);

  afterAll(async () => {
    await dedicated?.[Symbol.asyncDispose]();
  });

  const virtualHostOf = (): Promise<TestBroker> =>
    testBroker(dedicated === undefined ? {} : { on: dedicated });

  test.each(kinds)(
    'a message that fails in a %s comes again later each time, while others pass, and becomes a dead letter with its reason',
    async (_, spec) => {
      await using broker = await virtualHostOf();
      await using world = await folderWorld(broker);
      await using host = virtualHost(broker);
      const retry = { attempts: 3, backoff: { initial: '200ms', max: '1s' } };
      await world.subscribe('loyalty', { events: ['OrderPlaced'], delivery: { retry }, ...spec });
      await using operator = await startFolderOperator(world);
      await eventually(() => isReady(operator, 'loyalty'));
      const settings = await readSettingsOf(world.state, 'loyalty');
      expect(operator.resource('loyalty')?.status?.retryMode).toBe(settings.retry.mode);
      await host.publish('order.placed', ['bad', ...ids(0, 20)]);
      const tries: { at: number; attempt: number }[] = [];
      const good: string[] = [];
      host.consume(settings, (delivery) => {
        if (idOf(delivery) !== 'bad') return Promise.resolve(void good.push(idOf(delivery)));
        tries.push({ at: performance.now(), attempt: delivery.attempt });
        return Promise.reject(new Error('no such user'));
      });
      const dead: Delivery[] = [];
      host.consume(deadLettersOf(settings), (delivery) => Promise.resolve(void dead.push(delivery)));
      await eventually(() => dead.length === 1 && good.length === 20);
      expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      expect(tries[1]!.at - tries[0]!.at).toBeGreaterThan(150);
      expect(tries[2]!.at - tries[1]!.at).toBeGreaterThan(350);
      expect(good.sort()).toEqual(ids(0, 20).sort());
      expect(dead[0]?.properties.headers).toMatchObject({
        'warren-failure-reason': 'no such user',
        'warren-failure-attempts': 3,
        'warren-original-routing-key': 'order.placed',
      });
      expect(operator.resource('loyalty')?.status?.consumers).toBeDefined();
    },
  );

  test.each(['quorum', 'classic'])('an event that waits too long in a %s is a dead letter', async (type) => {
    await using broker = await virtualHostOf();
    await using world = await folderWorld(broker);
    await using host = virtualHost(broker);
    await world.subscribe('loyalty', { events: ['OrderPlaced'], queue: { type, maxAge: '300ms' } });
    await using operator = await startFolderOperator(world);
    await eventually(() => isReady(operator, 'loyalty'));
    await eventually(async () => (await host.policyOf('shop.loyalty'))?.['message-ttl'] === 300);
    await host.publish('order.placed', ids(0, 5));
    const settings = await readSettingsOf(world.state, 'loyalty');
    const dead: Delivery[] = [];
    host.consume(deadLettersOf(settings), (delivery) => Promise.resolve(void dead.push(delivery)));
    await eventually(() => dead.length === 5);
    expect(dead.map(idOf).sort()).toEqual(ids(0, 5).sort());
    expect(dead[0]?.properties.headers?.['x-death']).toMatchObject([
      { reason: 'expired', queue: 'shop.loyalty' },
    ]);
  });

  // Where the broker delays retries it delays what a lost consumer gave back, too.
  test.each(kinds.filter(([type]) => type !== 'quorum' || version !== '4.3'))(
    'a %s with strict order is handled in it, also when its consumer is cut off again and again',
    async (_, spec) => {
      await using broker = await virtualHostOf();
      await using world = await folderWorld(broker);
      await using host = virtualHost(broker);
      await world.subscribe('loyalty', {
        events: ['OrderPlaced'],
        delivery: { ordering: 'Strict' },
        ...spec,
      });
      await using operator = await startFolderOperator(world);
      await eventually(() => isReady(operator, 'loyalty'));
      const settings = await readSettingsOf(world.state, 'loyalty');
      const first: string[] = [];
      const handle = (delivery: Delivery) => {
        // What comes again was not acknowledged; of what comes for the first time none overtakes another.
        if (!first.includes(idOf(delivery))) first.push(idOf(delivery));
        return Promise.resolve();
      };
      let consumer = host.consume(settings, handle);
      for (let round = 0; round < 3; round += 1) {
        const publishing = host.publish('order.placed', ids(round * 100, round * 100 + 100));
        await consumer.stop({ deadlineMs: 0 });
        consumer = host.consume(settings, handle);
        await publishing;
      }
      await eventually(() => first.length === 300);
      expect(first).toEqual(ids(0, 300));
    },
  );

  // One each: a migration takes its time.
  const [to, changed] = version === '4.3' ? kinds[2] : kinds[1];
  test(`what waits in a quorum queue moves along when it becomes a ${to}, and so do its consumers`, async () => {
    await using broker = await virtualHostOf();
    await using world = await folderWorld(broker);
    await using host = virtualHost(broker);
    await world.subscribe('loyalty', { events: ['OrderPlaced'] });
    await using operator = await startFolderOperator(world);
    await eventually(() => isReady(operator, 'loyalty'));
    await host.publish('order.placed', ids(0, 50));
    await world.subscribe('loyalty', { events: ['OrderPlaced'], ...changed });
    await eventually(
      async () =>
        operator.condition('loyalty', 'TopologyInSync')?.status === 'True' &&
        isReady(operator, 'loyalty') &&
        (await host.api.queue('shop.loyalty'))?.type === to,
      { timeoutMs: 90_000 },
    );
    const settings = await readSettingsOf(world.state, 'loyalty');
    expect(settings.retry.mode).toBe('ladder');
    const seen = new Set<string>();
    host.consume(settings, (delivery) => Promise.resolve(void seen.add(idOf(delivery))));
    await host.publish('order.placed', ids(50, 100));
    await eventually(() => seen.size === 100);
    expect([...seen].sort()).toEqual(ids(0, 100).sort());
  }, 120_000);

  test.each([
    ['quorum', {}],
    ['classic', { maxPriority: 9 }],
  ])('in a %s queue the urgent come before those who wait', async (type, queue) => {
    await using broker = await virtualHostOf();
    await using world = await folderWorld(broker);
    await using host = virtualHost(broker);
    await world.subscribe('loyalty', { events: ['OrderPlaced'], queue: { type, ...queue } });
    await using operator = await startFolderOperator(world);
    await eventually(() => isReady(operator, 'loyalty'));
    for (const [id, priority] of [...ids(0, 10).map((each) => [each, 1] as const), ['urgent', 9] as const])
      await host.publisher.publish({
        routingKey: 'order.placed',
        content: Buffer.from(id),
        properties: { messageId: id, priority },
      });
    const seen: string[] = [];
    const settings = await readSettingsOf(world.state, 'loyalty');
    host.consume({ ...settings, prefetch: 1 }, (delivery) => Promise.resolve(void seen.push(idOf(delivery))));
    await eventually(() => seen.length === 11);
    // Quorum queues before 4.3 let one of those who wait pass after every two of the urgent; 3.13 knows none.
    if (type === 'classic' || version !== '3.13') expect(seen.indexOf('urgent')).toBeLessThan(2);
  });
});

async function runningVersion(): Promise<string> {
  const overview = await manage(testEndpoints().rabbitmq.management, 'GET', '/api/overview');
  return (overview as { rabbitmq_version: string }).rabbitmq_version;
}
