/** The Secret of an EventBroker gets another user while subscriptions are at work as the one before. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { isReady } from '../testing/folder-operator.ts';
import type { OperatorTuning } from '../testing/folder-operator.ts';
import { ownUser } from '../testing/own-user.ts';
import { recordCalls } from '../testing/recording-client.ts';
import type { CallName } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';

const events = ['OrderPlaced'];

/** A shop, and how its operator connects as another user while its calls of one kind are under way. */
async function rotatingShop(subscriptions: Record<string, Record<string, unknown>>, tuning: OperatorTuning) {
  const calls = recordCalls();
  const connect = jest.spyOn(calls, 'connect');
  await using stack = new AsyncDisposableStack();
  const broker = await testBroker();
  const shop = stack.use(await shopWorld(broker, subscriptions, { calls, ...tuning }));
  const own = stack.use(await ownUser(broker, 'policymaker'));
  const all = stack.move();
  return {
    ...shop,
    rotateDuring: async (held: CallName, begin: () => Promise<void>) => {
      const rotated = Promise.withResolvers<undefined>();
      calls.before = (call) => (call === held ? rotated.promise : undefined);
      await begin();
      await eventually(() => calls.made.includes(held));
      const secret = join(shop.world.state, 'secrets', 'warren-system', 'rabbitmq');
      await writeFile(join(secret, 'uri'), own.access.amqpUrl);
      await writeFile(join(secret, 'management-uri'), own.access.managementUrl);
      await eventually(() => connect.mock.lastCall?.[0].url.includes(`own-${broker.vhost}`) === true);
      rotated.resolve(undefined);
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

test('nobody is told that the broker refused what was under way: the new user does it', async () => {
  await using shop = await rotatingShop({}, {});
  const { operator, world } = shop;
  await shop.rotateDuring('declareQueue', () => world.subscribe('loyalty', { events }));
  await eventually(() => isReady(operator, 'loyalty'));
  expect(operator.told.map(({ reason }) => reason)).not.toContain('BrokerRefused');
});

test('a deletion that was under way is not given up: the new user finishes it', async () => {
  const loyalty = { events, deletionPolicy: 'Delete' };
  await using shop = await rotatingShop({ loyalty }, { abandonAfterMs: 0 });
  const { operator, world, host } = shop;
  await shop.rotateDuring('deleteQueue', () => world.unsubscribe('loyalty'));
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(operator.told.at(-1)).toMatchObject({ type: 'Normal', reason: 'Deleted' });
  expect((await host.api.inventory()).queues).toEqual([]);
});
