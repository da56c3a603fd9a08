import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { OrderCompleted, PointsEarned, shopCatalogue } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { watchBinding } from './binding-watch.ts';
import type { BindingState } from './binding-watch.ts';
import { defineService } from './definition.ts';
import { on } from './handlers.ts';
import { asEvent, ask, openSpy, openSubscription, openWorkbench } from './testing/index.ts';
import { tcpProxy } from '../../rabbitmq/src/testing/tcp-proxy.ts';

const order = (id: string): Event =>
  asEvent(OrderCompleted.create({ orderId: id, userId: 'u', total: 1, paymentId: 'p' }), 0, {
    id,
    aggregateId: id,
  });

function service(handle: (id: string) => Promise<void>) {
  return defineService({
    name: 'watcher',
    catalogue: shopCatalogue,
    parts: () => ({ consumers: { watcher: [on(OrderCompleted, ({ id }) => handle(id))] } }),
  });
}

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface Health {
  readonly error: Readonly<Record<string, { readonly status: string; readonly reason: string }>>;
}

/** What `/readyz` says about the consumer; undefined when all is well. */
async function trouble(url: string): Promise<string | undefined> {
  const { status, body } = await ask<Health>(`${url}/readyz`);
  return status === 200 ? undefined : (body.error['consumer watcher']?.reason ?? '');
}

/** The prefetch of the consumer of a queue, as the broker knows it. */
async function prefetchOf(
  broker: { managementUrl: string; vhost: string },
  queue: string,
): Promise<number | undefined> {
  const { origin, username, password } = new URL(broker.managementUrl);
  const { body } = await ask<{ queue: { name: string }; prefetch_count: number }[]>(
    `${origin}/api/consumers/${encodeURIComponent(broker.vhost)}`,
    { headers: { Authorization: `Basic ${btoa(`${username}:${password}`)}` } },
  );
  return body.find((consumer) => consumer.queue.name === queue)?.prefetch_count;
}

describe('a binding', () => {
  test('may come after the service, go, and come back', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('watcher', ['#'], { unbound: true });
    const seen: string[] = [];
    const { url } = await ground.start(service((id) => Promise.resolve(void seen.push(id))));
    await subscription.publish(order('o1'));
    await eventually(async () => (await trouble(url)) === 'It waits for its binding watcher.');
    expect(seen).toEqual([]);
    await subscription.rebind();
    await eventually(() => seen.includes('o1'));
    await eventually(async () => (await trouble(url)) === undefined);
    await subscription.unbind();
    await eventually(async () => (await trouble(url)) === 'It waits for its binding watcher.');
    await subscription.publish(order('o2'));
    expect(await subscription.depth()).toBe(1);
    await subscription.rebind();
    await eventually(() => seen.includes('o2'));
    expect(seen).toEqual(['o1', 'o2']);
  });

  test('that changes its prefetch is followed without a restart', async () => {
    const broker = await testBroker();
    await using ground = await openWorkbench({ broker, database: await testDatabase() });
    const subscription = await ground.subscribe('watcher', ['#'], { prefetch: 1 });
    let gate = Promise.withResolvers<undefined>();
    let running = 0;
    let most = 0;
    let handled = 0;
    await ground.start(
      service(async () => {
        running += 1;
        most = Math.max(most, running);
        await gate.promise;
        running -= 1;
        handled += 1;
      }),
    );
    await subscription.publish(...['o1', 'o2', 'o3'].map(order));
    await eventually(() => running === 1);
    gate.resolve(undefined);
    await eventually(() => handled === 3);
    expect(most).toBe(1);
    gate = Promise.withResolvers();
    await subscription.rebind({ prefetch: '3' });
    await eventually(async () => (await prefetchOf(broker, subscription.queue)) === 3);
    await subscription.publish(...['o4', 'o5', 'o6', 'o7'].map(order));
    await eventually(() => running === 3);
    gate.resolve(undefined);
    await eventually(() => handled === 7);
    expect(most).toBe(3);
  });

  test('that moves to another address is followed, and nothing is lost on the way', async () => {
    await using ground = await bench();
    const amqpUrl = ground.env['RABBITMQ_URL'] ?? '';
    await using proxy = await tcpProxy(amqpUrl);
    const subscription = await ground.subscribe('watcher', ['#']);
    const seen: string[] = [];
    const { url } = await ground.start(service((id) => Promise.resolve(void seen.push(id))));
    await subscription.publish(order('o1'));
    await eventually(() => seen.length === 1);
    await subscription.rebind({ uri: proxy.through(amqpUrl) });
    await eventually(() => proxy.connections > 0);
    await eventually(async () => (await trouble(url)) === undefined);
    await subscription.publish(order('o2'));
    await eventually(() => seen.length === 2);
    expect(seen).toEqual(['o1', 'o2']);
  });

  test('that cannot be used stops nothing, and is named without its values', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('watcher', ['#']);
    const seen: string[] = [];
    const { url } = await ground.start(service((id) => Promise.resolve(void seen.push(id))));
    await eventually(async () => (await trouble(url)) === undefined);
    await subscription.rebind({ uri: 'http://user:hunter2@host', prefetch: 'many' });
    const said = await eventually(() => trouble(url));
    expect(said).toMatch(/binding of watcher cannot be used: uri: must begin with amqp/);
    expect(said).not.toContain('hunter2');
    await subscription.publish(order('o1'));
    await eventually(() => seen.length === 1);
    await subscription.rebind();
    await eventually(async () => (await trouble(url)) === undefined);
  });

  test('that cannot be used is named after a pause as before it', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('watcher', ['#']);
    let isAway = true;
    const seen: string[] = [];
    const { url } = await ground.start(
      service((id) => {
        if (isAway) throw Object.assign(new Error('no connection'), { name: 'MongoNotConnectedError' });
        seen.push(id);
        return Promise.resolve();
      }),
    );
    await eventually(async () => (await trouble(url)) === undefined);
    await subscription.rebind({ prefetch: 'many' });
    const said = await eventually(() => trouble(url));
    await subscription.publish(order('o1'));
    await eventually(async () => (await trouble(url)) === 'It pauses while the database is away.');
    isAway = false;
    await eventually(() => seen.length === 1);
    await eventually(async () => (await trouble(url)) === said);
  });

  test('is all a service needs to publish, too', async () => {
    await using broker = await testBroker();
    await using ground = await openWorkbench({
      broker: await testBroker(),
      database: await testDatabase(),
      env: { RABBITMQ_URL: '' },
    });
    // On another virtual host than the workbench's own, so that only the binding can have named it.
    await using spy = await openSpy(broker.amqpUrl);
    await using subscription = await openSubscription({
      amqpUrl: broker.amqpUrl,
      root: ground.root,
      name: 'watcher',
      patterns: ['order.completed'],
    });
    const { url } = await ground.start(
      defineService({
        name: 'watcher',
        catalogue: shopCatalogue,
        parts: () => ({
          consumers: {
            watcher: [
              on(OrderCompleted, async ({ data: { orderId, userId } }, { execute }) => {
                await execute(
                  {
                    initial: 0,
                    evolve: (count: number) => count + 1,
                    decide: () => [PointsEarned.create({ orderId, userId, points: 1 })],
                  },
                  `account-${userId}`,
                  {},
                );
              }),
            ],
          },
        }),
      }),
    );
    await subscription.publish(order('o1'));
    await eventually(() => spy.events('PointsEarned').length === 1);
    await eventually(async () => (await ask(`${url}/health`)).status === 200);
  });

  test('is read as Kubernetes mounts a Secret, and followed when the mount is swapped', async () => {
    const root = await mkdtemp(join(tmpdir(), 'warren-mount-'));
    const folder = join(root, 'watcher');
    const entries = {
      type: 'rabbitmq',
      uri: 'amqp://user:hunter2@host/',
      subscription: 'shop/watcher',
      queue: 'shop.watcher',
      prefetch: '10',
      attempts: '5',
      'retry-mode': 'broker',
      'dead-letter-exchange': 'failed_events',
      'dead-letter-routing-key': 'shop.watcher',
    };
    /** A new folder of values, and one rename that makes it the current one: what the kubelet does. */
    const mount = async (version: string, values: Readonly<Record<string, string>>) => {
      await mkdir(join(folder, `..${version}`), { recursive: true });
      for (const [key, value] of Object.entries(values))
        await writeFile(join(folder, `..${version}`, key), value);
      await symlink(`..${version}`, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await mount('1', entries);
    for (const key of Object.keys(entries)) await symlink(`..data/${key}`, join(folder, key));
    const states: BindingState[] = [];
    const watch = watchBinding(root, 'watcher', 20, (state) => void states.push(state));
    try {
      await eventually(() => states.length === 1);
      await mount('2', { ...entries, prefetch: '20', uri: 'amqp://user:rotated@host/' });
      await eventually(() => states.length === 2);
      expect(states).toMatchObject([
        { kind: 'bound', binding: { settings: { prefetch: 10 } } },
        {
          kind: 'bound',
          binding: { broker: { uri: 'amqp://user:rotated@host/' }, settings: { prefetch: 20 } },
        },
      ]);
    } finally {
      watch.stop();
      await rm(root, { recursive: true });
    }
  });
});
