/** Releases come and go, events stay: `helm upgrade` from an older chart and `helm rollback` to it, with orders under way. */
import { beforeAll, expect, test } from '@jest/globals';
import { get } from '../../scripts/shop-client.ts';
import { olderChart } from '../support/older-chart.ts';
import { startLoad } from './load.ts';
import { clusterShop, SHOP, SYSTEM, values, type ClusterShop } from './support.ts';

let shop: ClusterShop;

beforeAll(async () => {
  shop = await clusterShop();
}, 900_000);

/** The ids of the events of the log since a time, oldest first. */
async function logged(since: string): Promise<string[]> {
  await using forwards = await shop.forward('event-log');
  const url = `${forwards.urls['event-log']}/events?since=${encodeURIComponent(since)}&limit=1000`;
  const { events } = await get<{ events: { id: string }[] }>(url);
  return events.map(({ id }) => id);
}

const revision = async (release: string, namespace: string): Promise<string> => {
  const history = await shop.helm(['history', release, '--namespace', namespace, '--output=json']);
  const found = (JSON.parse(history) as { revision: number; status: string }[]).find(
    ({ status }) => status === 'deployed',
  );
  return String(found?.revision);
};

const identities = () =>
  shop.kubectl([
    ...['get', 'eventsubscriptions', '--namespace', SHOP],
    '--output=jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}',
  ]);

test('an upgrade of both charts, from an older one, and its rollback keep every event and every subscription', async () => {
  const began = new Date().toISOString();
  const subscriptions = await identities();
  const upgrade = (
    release: 'warren' | 'shop',
    namespace: string,
    changed: object,
    chart = `charts/${release}`,
  ) =>
    shop.helm(['upgrade', release, chart, '--namespace', namespace, '--wait', '--timeout=5m'], {
      ...values[release],
      ...changed,
    });
  using older = olderChart();
  await upgrade('warren', SYSTEM, {}, older.path);
  const good = { warren: await revision('warren', SYSTEM), shop: await revision('shop', SHOP) };
  await using load = await startLoad(shop, 10);
  await upgrade('warren', SYSTEM, { workers: 16, logLevel: 'debug' });
  await upgrade('shop', SHOP, {
    services: {
      payment: {
        env: { PAYMENT_LIMIT: 2000 },
        subscriptions: { payment: { delivery: { prefetch: 5, retry: { attempts: 7 } } } },
      },
    },
  });
  const between = await logged(began);
  expect(between.length).toBeGreaterThan(0);
  for (const [release, namespace] of [
    ['shop', SHOP],
    ['warren', SYSTEM],
  ] as const)
    await shop.helm(['rollback', release, good[release], '--namespace', namespace, '--wait', '--timeout=5m']);
  const { verdict, lost, taken } = await load.finish();
  expect(verdict.wrong).toEqual([]);
  expect({ lost, orders: verdict.orders }).toEqual({ lost: 0, orders: taken });
  expect(verdict.points).toBe(verdict.expectedPoints);
  const after = new Set(await logged(began));
  expect(between.filter((id) => !after.has(id))).toEqual([]);
  expect(await identities()).toBe(subscriptions);
}, 900_000);
