/** A whole operator against a real API server, undisturbed and disturbed. */
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testKubernetes } from '@warren/environment/testing';
import { createCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { isTrue } from './conditions.ts';
import { keyOf, resources } from './object.ts';
import type { ResourceClient } from './resource-client.ts';
import { eventually } from './testing/eventually.ts';
import { startOperator } from './testing/widget-operator.ts';
import type { Secret } from './testing/widget-operator.ts';
import { widgetWorld } from './testing/widgets.ts';
import type { Widget, WidgetWorld } from './testing/widgets.ts';

let world: WidgetWorld;
let cluster: Cluster;
let client: ResourceClient<Widget>;

beforeAll(async () => {
  world = await widgetWorld((await testKubernetes()).kubeconfig);
  ({ cluster, client } = world);
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** Between us and the API server, to be cut. */
async function startProxy() {
  const target = new URL(world.config().getCurrentCluster()!.server);
  const sockets = new Set<Socket>();
  let down = false;
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    if (down) near.destroy();
    near.pipe(far).pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    down: (now: boolean) => {
      down = now;
      if (now) cut();
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('an operator', () => {
  test('makes objects so, keeps them so, and writes nothing when nothing changes, restarts included', async () => {
    await using ns = await world.namespace();
    const names = Array.from({ length: 30 }, (_, i) => `w-${i}`);
    const create = (name: string) =>
      client.create({ metadata: { namespace: ns.name, name }, spec: { size: 1, secret: 'words' } });
    await Promise.all(names.slice(0, 15).map(create));
    const first = startOperator(world, cluster, ns.name);
    await first.controller.start();
    await Promise.all(names.slice(15).map(create));
    const ready = async (size: number, word?: string) => {
      const { items } = await client.list({ namespace: ns.name });
      return (
        items.length === names.length &&
        items.every((item) => {
          const { status } = item;
          return status?.seen === size && status.word === word && isTrue(status.conditions, 'Ready');
        })
      );
    };
    await eventually(() => ready(1));
    const secrets = cluster.resource<Secret>(resources.secrets);
    await secrets.apply({ metadata: { namespace: ns.name, name: 'words' }, data: { word: 'aGk=' } });
    await eventually(() => ready(1, 'aGk='));
    await Promise.all(
      names.map((name) => client.mergePatch({ namespace: ns.name, name }, { spec: { size: 2 } })),
    );
    await eventually(() => ready(2, 'aGk='));

    const settled = await world.writes();
    for (const name of names) first.controller.enqueue(`${ns.name}/${name}`);
    await eventually(() => first.controller.queue.depth === 0);
    expect(await first.controller.stop()).toEqual({ clean: true });
    const second = startOperator(world, cluster, ns.name);
    await second.controller.start();
    await eventually(() => second.reconciles() >= names.length && second.controller.queue.depth === 0);
    await second.controller.queue.idle();
    expect((await world.writes()) - settled).toBe(0);

    await Promise.all(names.map((name) => client.delete({ namespace: ns.name, name })));
    await eventually(async () => (await client.list({ namespace: ns.name })).items.length === 0);
    expect(new Set(second.tidied).size).toBe(names.length);
    expect(await second.controller.stop()).toEqual({ clean: true });
  });

  test('goes on when its connections are cut and when the API server is away for a while', async () => {
    await using ns = await world.namespace();
    await using proxy = await startProxy();
    await using behind = createCluster({
      kubeConfig: world.config(proxy.url),
      fieldManager: 'widget-operator',
    });
    const operator = startOperator(world, behind, ns.name);
    await operator.controller.start();
    const make = (name: string) =>
      client.create({ metadata: { namespace: ns.name, name }, spec: { size: 1 } });
    const ready = async (name: string) =>
      isTrue((await client.get({ namespace: ns.name, name })).status?.conditions, 'Ready');
    await make('before');
    await eventually(() => ready('before'));
    for (let i = 0; i < 5; i += 1) {
      await make(`cut-${i}`);
      proxy.cut();
    }
    proxy.down(true);
    await make('while-down');
    await client.delete({ namespace: ns.name, name: 'before' });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    proxy.down(false);
    for (const name of ['cut-0', 'cut-1', 'cut-2', 'cut-3', 'cut-4', 'while-down'])
      await eventually(() => ready(name));
    await eventually(async () => (await client.find({ namespace: ns.name, name: 'before' })) === undefined);
    const { items } = await client.list({ namespace: ns.name });
    await eventually(() => operator.reflector.store.size === items.length);
    expect([...operator.reflector.store.keys()].sort()).toEqual(items.map((item) => keyOf(item)).sort());
    await Promise.all(items.map(({ metadata }) => client.delete(metadata)));
    await eventually(async () => (await client.list({ namespace: ns.name })).items.length === 0);
    expect(await operator.controller.stop()).toEqual({ clean: true });
  });
});
