/** Processes are killed and the broker is restarted with 200 orders in flight; nothing is lost and nothing counts twice. */
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, test } from '@jest/globals';
import { dedicatedBroker, eventually, type DedicatedBroker } from '@warren/environment/testing';
import { serviceNames, type ServiceName } from '../scripts/shop.ts';
import { everythingOnce, placeOrders } from './support/crowd.ts';
import { TestShop } from './support/test-shop.ts';

let broker: DedicatedBroker;
let shop: TestShop;

beforeAll(async () => {
  broker = await dedicatedBroker();
  shop = await TestShop.start({ broker });
}, 180_000);

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
}, 60_000);

const inFlight = 200;

/** Waits until a service has handled `count` deliveries more. */
async function handlesMore(name: ServiceName, count: number): Promise<void> {
  let seen = shop.records.length;
  let handled = 0;
  await eventually(
    () => {
      for (; seen < shop.records.length; seen += 1) {
        const record = shop.records[seen];
        if (record?.['msg'] === 'event consumed' && record.process === name) handled += 1;
      }
      return handled >= count;
    },
    { timeoutMs: 60_000 },
  );
}

async function startAgain(name: ServiceName): Promise<void> {
  shop.shop.services[name].start();
  await shop.shop.ready(name);
}

/** Nothing of a frozen service moves, until it is thawed. So orders pile up in front of it. */
function freeze(name: ServiceName): () => void {
  const { pid } = shop.shop.services[name];
  if (pid === undefined) throw new Error(`${name} does not run`);
  process.kill(pid, 'SIGSTOP');
  return () => process.kill(pid, 'SIGCONT');
}

test('payment is killed with 200 orders in flight, and started again', async () => {
  const thaw = freeze('payment');
  const crowd = await placeOrders(shop, inFlight);
  thaw();
  await handlesMore('payment', 20);
  await shop.shop.kill('payment');
  await startAgain('payment');
  await everythingOnce(shop, crowd, { mails: 'one' });
}, 120_000);

test('order is killed while it takes 200 orders and their payments, and started again', async () => {
  const thaw = freeze('payment');
  const crowd = await placeOrders(shop, inFlight);
  thaw();
  await handlesMore('order', 20);
  await shop.shop.kill('order');
  await startAgain('order');
  await everythingOnce(shop, crowd, { mails: 'one' });
}, 120_000);

test('RabbitMQ is restarted with 200 orders in flight', async () => {
  const thaw = freeze('payment');
  const crowd = await placeOrders(shop, inFlight);
  thaw();
  await handlesMore('payment', 20);
  await broker.restart();
  await everythingOnce(shop, crowd, { mails: 'one' });
}, 120_000);

test('RabbitMQ is killed with 200 orders in flight, and started again', async () => {
  const thaw = freeze('payment');
  const crowd = await placeOrders(shop, inFlight);
  thaw();
  await handlesMore('payment', 20);
  await broker.kill();
  await broker.start();
  await everythingOnce(shop, crowd, { mails: 'one' });
}, 120_000);

test('services are killed at random while 200 orders go through', async () => {
  const thaw = freeze('payment');
  const crowd = await placeOrders(shop, inFlight);
  thaw();
  const deaths = Array.from({ length: 10 }, () => serviceNames[randomInt(serviceNames.length)] ?? 'order');
  for (const name of deaths) {
    await shop.shop.kill(name);
    await startAgain(name);
  }
  // A mail server that took a mail a moment before the death gets it again, as the same message.
  await everythingOnce(shop, crowd, { mails: 'one Message-ID' }).catch((error: unknown) => {
    throw new Error(`after the deaths of ${deaths.join(', ')}: ${String(error)}`, { cause: error });
  });
}, 120_000);
