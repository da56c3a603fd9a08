/**
 * What an operations team does on any day, under 20 orders a second: every order ends once, whatever is restarted, drained or
 * killed. What is only replaced (rollouts, upgrades, a drained node) costs no client a single failed attempt.
 */
import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { startLoad, type Customers, type Verdict } from './load.ts';
import { clusterShop, SERVICES, SHOP, SYSTEM, values, type ClusterShop } from './support.ts';
import { tiedHosts, type Volume } from './volumes.ts';

/** Orders a second. */
const RATE = Number(process.env['WARREN_TEST_RATE'] ?? 20);

let shop: ClusterShop;

beforeAll(async () => {
  shop = await clusterShop();
}, 900_000);

beforeEach(() => shop.settled(), 300_000);

/** Does something to the shop while orders come in, and gives back what became of them. */
async function during(
  what: (shop: ClusterShop) => Promise<unknown>,
  node?: string,
): Promise<Customers & { verdict: Verdict }> {
  await using load = await startLoad(shop, RATE, node);
  await what(shop);
  await shop.settled();
  // Orders come in for a while after it, too.
  const { taken } = await load.now();
  await eventually(async () => (await load.now()).taken > taken + RATE, {
    timeoutMs: 120_000,
    intervalMs: 500,
  });
  return await load.finish();
}

function expectOnceEach({ lost, taken, verdict }: Customers & { verdict: Verdict }): void {
  expect(verdict.wrong).toEqual([]);
  expect({ lost, points: verdict.points }).toEqual({ lost: 0, points: verdict.expectedPoints });
  expect(verdict.orders).toBe(taken);
}

/** An attempt that only took too long says that the machine is busy. */
const whatWasRefused = ({ refused }: Customers) =>
  refused.map(({ what }) => what).filter((what) => !what.startsWith('TimeoutError'));

const restart = async (namespace: string, kind: string, names: readonly string[]) => {
  for (const name of names)
    await shop.kubectl(['rollout', 'restart', `${kind}/${name}`, '--namespace', namespace]);
};

const deletePod = (namespace: string, name: string, ...how: string[]) =>
  shop.kubectl(['delete', 'pod', name, '--namespace', namespace, ...how]);

describe('what is replaced in order', () => {
  test('a restart of every deployment fails no attempt', async () => {
    const outcome = await during(async () => {
      await restart(SHOP, 'deployment', SERVICES);
      await restart(SYSTEM, 'deployment', ['warren']);
    });
    expectOnceEach(outcome);
    expect(whatWasRefused(outcome)).toEqual([]);
  }, 600_000);

  test('an upgrade of the operator fails no attempt', async () => {
    const upgrade = (logLevel: string) =>
      shop.helm(['upgrade', 'warren', 'charts/warren', '--namespace', SYSTEM, '--wait', '--timeout=5m'], {
        ...values.warren,
        logLevel,
      });
    const outcome = await during(async () => {
      await upgrade('debug');
      await upgrade('info');
    });
    expectOnceEach(outcome);
    expect(whatWasRefused(outcome)).toEqual([]);
  }, 600_000);

  test('a node is drained: the budgets keep a replica of each service, and no order is lost', async () => {
    const nodes = (await shop.kubectl(['get', 'nodes', '--output=jsonpath={.items[*].metadata.name}'])).split(
      ' ',
    );
    const [stays = '', ...others] = nodes;
    const { items } = JSON.parse(await shop.kubectl(['get', 'pv', '--output=json'])) as { items: Volume[] };
    const tied = tiedHosts(items);
    const free = others.findLast((node) => !tied.has(node));
    const drained = free ?? others.at(-1) ?? '';
    expect(drained).not.toBe('');
    // On kind's two workers each may have a volume: what it belongs to would wait for the node, so it stays.
    const which =
      free === undefined ? ['--pod-selector=app.kubernetes.io/name notin (rabbitmq,mongodb)'] : [];
    try {
      const outcome = await during(
        () =>
          shop.kubectl([
            ...['drain', drained, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=240s'],
            ...which,
          ]),
        stays,
      );
      expectOnceEach(outcome);
    } finally {
      await shop.kubectl(['uncordon', drained]);
    }
  }, 600_000);
});

describe('what dies', () => {
  test('the pod of RabbitMQ is deleted: orders go on being taken', async () => {
    const outcome = await during(() => deletePod(SYSTEM, 'rabbitmq-0'));
    expectOnceEach(outcome);
    // The outbox is in the database: nobody who orders has to know.
    expect(whatWasRefused(outcome)).toEqual([]);
  }, 600_000);

  test('the pod of the database is deleted: clients hear when to try again, and every order ends once', async () => {
    expectOnceEach(await during(() => deletePod(SHOP, 'mongodb-0')));
  }, 600_000);

  test('pods of the shop and of the operator are killed at random', async () => {
    const outcome = await during(async () => {
      for (let round = 0; round < 8; round += 1) {
        const namespace = round % 4 === 3 ? SYSTEM : SHOP;
        const selector =
          round % 4 === 3 ? 'app.kubernetes.io/name=warren-operator' : 'app.kubernetes.io/instance=shop';
        const running = ['--selector', selector, '--field-selector=status.phase=Running'];
        const pods = (
          await shop.kubectl([
            ...['get', 'pods', '--namespace', namespace, ...running],
            '--output=jsonpath={.items[*].metadata.name}',
          ])
        ).split(' ');
        const victim = pods[Math.floor(Math.random() * pods.length)] ?? '';
        // No grace: SIGKILL, as a node that dies would do it.
        await deletePod(namespace, victim, '--grace-period=0', '--force');
        await new Promise((resolve) => setTimeout(resolve, 2_000));
      }
    });
    expectOnceEach(outcome);
  }, 600_000);
});
