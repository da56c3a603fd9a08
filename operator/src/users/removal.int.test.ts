import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { connectBroker, ManagementError } from '@warren/rabbitmq';
import { folderWorld, isReady, readKeysOf, startFolderOperator } from '../testing/folder-operator.ts';
import type { FolderWorld } from '../testing/folder-operator.ts';
import { usersOf } from '../testing/made-users.ts';
import { recordCalls } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';

const PER_SUBSCRIPTION = { consumerCredentials: { mode: 'PerSubscription' } };
const RETAINED = { events: ['OrderPlaced'], deletionPolicy: 'Retain' };
const unreachable = () => {
  throw new ManagementError('WARREN_BROKER_UNREACHABLE', 'any call', 'connect ECONNREFUSED');
};

/** An operator has made it a user, and ended; then it was deleted. Gives back what its consumer connects by. */
async function deletedWhileNobodyLooked(world: FolderWorld): Promise<string> {
  await world.broker(PER_SUBSCRIPTION);
  await world.subscribe('loyalty', RETAINED);
  await using operator = await startFolderOperator(world);
  await eventually(() => isReady(operator, 'loyalty'));
  const { uri = '' } = await readKeysOf(world.state, 'loyalty');
  await operator.stop();
  await world.unsubscribe('loyalty');
  return uri;
}

test('a user goes with a subscription whose queues are retained, with its connection, also before the broker has answered', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  const uri = await deletedWhileNobodyLooked(world);
  await using connection = connectBroker({ url: uri, name: 'a consumer' });
  await connection.opened();
  const calls = recordCalls();
  const answer = Promise.withResolvers<undefined>();
  calls.before = (call) => (call === 'overview' ? answer.promise : undefined);
  await using operator = await startFolderOperator(world, { calls });
  await eventually(() => operator.resource('loyalty')?.metadata.deletionTimestamp !== undefined);
  answer.resolve(undefined);
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(await usersOf(broker)).toEqual([]);
  await eventually(() => !connection.isOpen);
  expect(operator.told).toContainEqual(expect.objectContaining({ type: 'Normal', reason: 'Retained' }));
});

test('while the broker is away a subscription whose queues are retained waits with its user, and gives up as any other', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await deletedWhileNobodyLooked(world);
  const calls = recordCalls();
  calls.before = unreachable;
  await using operator = await startFolderOperator(world, { calls });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerUnavailable');
  calls.before = () => undefined;
  await eventually(() => operator.resource('loyalty') === undefined);
  expect(await usersOf(broker)).toEqual([]);
  expect(operator.told).toContainEqual(expect.objectContaining({ type: 'Normal', reason: 'Retained' }));

  await world.subscribe('loyalty', RETAINED);
  await eventually(() => isReady(operator, 'loyalty'));
  await operator.stop();
  await using hasty = await startFolderOperator(world, { calls, abandonAfterMs: 1_000 });
  calls.before = unreachable;
  await world.unsubscribe('loyalty');
  await eventually(() => hasty.resource('loyalty') === undefined);
  expect(hasty.told).toContainEqual(
    expect.objectContaining({
      reason: 'Abandoned',
      message: expect.stringMatching(/^given up; should its user be left on the broker/),
    }),
  );
});

test('one without a user of its own waits for no broker', async () => {
  const calls = recordCalls();
  await using shop = await shopWorld(await testBroker(), { loyalty: RETAINED }, { calls });
  calls.before = unreachable;
  await eventually(() => shop.operator.brokerCondition('Ready')?.status === 'False');
  await shop.world.unsubscribe('loyalty');
  await eventually(() => shop.operator.resource('loyalty') === undefined);
  expect(shop.operator.told).toContainEqual(expect.objectContaining({ type: 'Normal', reason: 'Retained' }));
});
