/** The shop on a real Kubernetes: installed by its charts, restricted, and grown by one resource and one values entry. */
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { parse } from 'yaml';
import { accept } from '../../scripts/deploy/acceptance.ts';
import { get, post } from '../../scripts/shop-client.ts';
import { root } from '../support/helm.ts';
import { clusterShop, fileOf, restrictedPod, SHOP, SYSTEM, values, type ClusterShop } from './support.ts';

let shop: ClusterShop;

beforeAll(async () => {
  shop = await clusterShop();
}, 900_000);

test('orders end once each, with their points and their place in the event log', async () => {
  await using forwards = await shop.forward('user', 'order', 'loyalty', 'event-log');
  const said = await accept({ urls: forwards.urls, orders: 50, withinMs: 120_000 });
  expect(said).toContain('50 orders, 50 completed');
}, 180_000);

test('helm test finds the shop well', async () => {
  const said = await shop.helm(['test', 'shop', '--namespace', SHOP, '--timeout=3m']);
  expect(said).toMatch(/Phase:\s+Succeeded/);
}, 240_000);

test('restricted Pod Security is enforced where operator and shop run', async () => {
  for (const namespace of [SHOP, SYSTEM]) {
    const label = '{.metadata.labels.pod-security\\.kubernetes\\.io/enforce}';
    expect(await shop.kubectl(['get', 'namespace', namespace, `--output=jsonpath=${label}`])).toBe(
      'restricted',
    );
  }
  const privileged = restrictedPod('privileged', { securityContext: { privileged: true } });
  await expect(shop.apply(privileged)).rejects.toThrow('violates PodSecurity "restricted');
});

test('the operator leads once, with the rights of its chart alone', async () => {
  const holder = await shop.kubectl([
    'get',
    'lease',
    '--namespace',
    SYSTEM,
    '--output=jsonpath={.items[*].spec.holderIdentity}',
  ]);
  expect(holder.split(' ')).toHaveLength(1);
  const may = shop.kubectl([
    'auth',
    'can-i',
    'delete',
    'pods',
    `--as=system:serviceaccount:${SYSTEM}:warren`,
    '--namespace',
    SHOP,
  ]);
  // kubectl ends with 1 when the answer is no.
  await expect(may).rejects.toThrow();
});

test('one resource and one values entry add a service, and change no other one', async () => {
  const others = () =>
    shop.kubectl([
      ...['get', 'deployment', '--namespace', SHOP, '--selector=app.kubernetes.io/name!=bestsellers'],
      '--output=jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}',
    ]);
  const before = await others();
  const subscription = parse(await fileOf('examples/bestsellers/subscription.yaml')) as {
    spec: { events: string[] };
  };
  // The resource alone makes the queue: events wait there for a service that is still to come.
  await shop.kubectl(['apply', '--filename', join(root, 'examples/bestsellers/subscription.yaml')]);
  await shop.kubectl([
    ...[
      'wait',
      'eventsubscription/bestsellers',
      '--namespace',
      SHOP,
      '--for=condition=Ready',
      '--timeout=60s',
    ],
  ]);
  await using forwards = await shop.forward('order');
  const sku = `tea-${process.pid}`;
  const order = () =>
    post(`${forwards.urls.order}/orders`, { userId: 'ada', lines: [{ sku, quantity: 3, unitPrice: 4 }] });
  await order();
  try {
    await shop.helm(['upgrade', 'shop', 'charts/shop', '--namespace', SHOP, '--wait', '--timeout=5m'], {
      ...values.shop,
      services: { bestsellers: { bindings: ['bestsellers'], replicas: 1 } },
    });
    await order();
    await using added = await shop.forward('bestsellers');
    const sold = await eventually(
      async () => {
        const { bestsellers } = await get<{ bestsellers: { sku: string; sold: number }[] }>(
          `${added.urls.bestsellers}/bestsellers`,
        );
        return bestsellers.find((row) => row.sku === sku && row.sold === 6);
      },
      { timeoutMs: 60_000, intervalMs: 200 },
    );
    expect(sold).toBeDefined();
    expect(subscription.spec.events).toEqual(['OrderPlaced']);
    expect(await others()).toBe(before);
  } finally {
    await shop.helm(
      ['upgrade', 'shop', 'charts/shop', '--namespace', SHOP, '--wait', '--timeout=5m', '--reset-values'],
      values.shop,
    );
    await shop.kubectl(['delete', 'eventsubscription/bestsellers', '--namespace', SHOP, '--timeout=60s']);
  }
}, 600_000);
