/** The orders that a deployment is tried with: a shop that is well passes, and one that is not is told from it. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { accept, AcceptanceError } from '../scripts/deploy/acceptance.ts';
import { TestShop } from './support/test-shop.ts';

let shop: TestShop;

beforeAll(async () => {
  shop = await TestShop.start();
}, 120_000);

afterAll(async () => {
  await shop[Symbol.asyncDispose]();
});

const urls = () => ({
  user: shop.url('user'),
  order: shop.url('order'),
  loyalty: shop.url('loyalty'),
  'event-log': shop.url('event-log'),
});

test('a shop that is well is accepted', async () => {
  await expect(accept({ urls: urls(), orders: 20, withinMs: 60_000 })).resolves.toMatch(
    /^20 orders, 20 completed/,
  );
});

test('a shop whose payments nobody decides is not', async () => {
  await shop.shop.services.payment.kill('SIGKILL');
  const refused = accept({ urls: urls(), orders: 3, withinMs: 3_000 });
  await expect(refused).rejects.toThrow(AcceptanceError);
  await expect(refused).rejects.toThrow(/is decided: not yet/);
});
