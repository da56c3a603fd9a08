/** The tutorial, followed: one resource and one file make a service, and no other service changes. */
import { cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import type { TestDatabase } from '@warren/environment/testing';
import { ManagedProcess } from '../scripts/managed-process.ts';
import { get, post } from '../scripts/shop-client.ts';
import { listeningUrl } from '../scripts/shop.ts';
import { blocksOf, root } from './support/docs.ts';
import { eventuallyHolds } from './support/eventually.ts';
import { TestShop } from './support/test-shop.ts';

const PAGE = 'docs/tutorial/add-a-service.md';
const example = join(root, 'examples/bestsellers');

interface Bestsellers {
  bestsellers: { sku: string; sold: number }[];
}

let shop: TestShop;
let database: TestDatabase;
let service: ManagedProcess | undefined;
let url: string | undefined;

beforeAll(async () => {
  shop = await TestShop.start();
  database = await testDatabase();
}, 120_000);

afterAll(async () => {
  await service?.stop();
  await database[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
}, 60_000);

const order = (sku: string, quantity: number) =>
  post(`${shop.url('order')}/orders`, { userId: 'ada', lines: [{ sku, quantity, unitPrice: 12.5 }] });

test('what the page shows is what the example is', async () => {
  const shown = (await blocksOf(PAGE)).filter(({ file }) => file !== undefined);
  expect(shown.map(({ file }) => file)).toEqual([
    'examples/bestsellers/subscription.yaml',
    'examples/bestsellers/src/main.ts',
  ]);
  for (const { file, text } of shown) expect(text).toBe(await readFile(join(root, file ?? ''), 'utf8'));
});

test('the resource makes the queue, and orders wait there before the service exists', async () => {
  await cp(join(example, 'subscription.yaml'), join(shop.folder, 'bestsellers.yaml'));
  await eventually(async () =>
    /type: Ready\s+status: "True"/.test(await shop.status('shop.bestsellers.yaml')),
  );
  await order('tea', 3);
  await eventually(async () => (await shop.management.queue('shop.bestsellers'))?.messages === 1);
});

test('the file makes the service: it takes what waited, and what comes', async () => {
  service = new ManagedProcess({
    name: 'bestsellers',
    cwd: root,
    args: ['--conditions=warren-source', 'examples/bestsellers/src/main.ts'],
    env: {
      MONGODB_URL: database.url,
      PORT: '0',
      HOST: '127.0.0.1',
      SERVICE_BINDING_ROOT: join(shop.stateDir, 'bindings', 'shop'),
    },
    logDir: join(shop.stateDir, 'logs'),
    onLog: (name, record) => {
      url ??= listeningUrl(name, record);
    },
  });
  service.start();
  await eventually(() => url !== undefined);
  await order('cup', 1);
  await order('tea', 2);
  await eventuallyHolds(async () => {
    const { bestsellers } = await get<Bestsellers>(`${url ?? ''}/bestsellers`);
    expect(bestsellers).toEqual([
      { sku: 'tea', sold: 5 },
      { sku: 'cup', sold: 1 },
    ]);
  });
});

test('without the resource the queue goes, once it is empty', async () => {
  await service?.stop();
  await rm(join(shop.folder, 'bestsellers.yaml'));
  await eventually(async () => (await shop.management.queue('shop.bestsellers')) === undefined, {
    timeoutMs: 40_000,
  });
});
