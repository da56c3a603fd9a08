import { expect, test } from '@jest/globals';
import { eventually, testBroker } from '@warren/environment/testing';
import { ManagementError } from '@warren/rabbitmq';
import { folderWorld, isReady, startFolderOperator } from '../testing/folder-operator.ts';
import { ownUser } from '../testing/own-user.ts';
import { recordCalls, recordCallsUntilDeath } from '../testing/recording-client.ts';
import { shopWorld } from '../testing/shop-world.ts';
import { virtualHost } from '../testing/virtual-host.ts';

const events = ['OrderPlaced'];
const unreachable = () =>
  new ManagementError('WARREN_BROKER_UNREACHABLE', 'GET /api', 'connect ECONNREFUSED');

test('a broker that goes down and comes back is one condition and two events, and no storm', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  await using host = virtualHost(broker);
  const names = Array.from({ length: 20 }, (_, index) => `s${index}`);
  for (const name of names) await world.subscribe(name, { events });
  const calls = recordCalls();
  await using operator = await startFolderOperator(world, { calls });
  const isCounted = (name: string) => operator.condition(name, 'DeadLetters')?.status === 'False';
  await eventually(() => operator.told.filter(({ reason }) => reason === 'Ready').length === 21);
  await eventually(() => names.every(isCounted));
  const { statusWrites } = operator;

  calls.before = () => {
    throw unreachable();
  };
  await eventually(() => operator.brokerCondition('Reachable')?.status === 'False');
  calls.reset();
  await world.subscribe('new', { events });
  await eventually(() => operator.condition('new', 'Ready')?.reason === 'BrokerUnavailable');
  // Only the EventBroker asks, and it asks only whether the broker is there; but for what was under way before.
  await eventually(() => {
    if (calls.made.some((call) => call !== 'overview')) calls.reset();
    return calls.made.length >= 4;
  });
  expect(operator.condition('s0', 'Ready')?.status).toBe('True');

  await host.api.deleteQueue('shop.s0');
  calls.before = () => undefined;
  await eventually(() => operator.brokerCondition('Reachable')?.status === 'True');
  await eventually(() => isReady(operator, 'new'));
  await eventually(async () => (await host.keysOf('shop.s0')).length === 1);
  const ofBroker = operator.told.filter(({ name }) => name === 'default').map(({ reason }) => reason);
  expect(ofBroker).toEqual(['Ready', 'Unreachable', 'Ready']);
  expect(operator.told.filter(({ reason }) => reason === 'BrokerUnavailable')).toEqual([]);
  await eventually(() => isCounted('new') && operator.condition('s0', 'TopologyInSync')?.reason === 'InSync');
  // The new one waiting and ready, the one that drifted meanwhile drifted and in sync again.
  await eventually(() => operator.statusWrites - statusWrites >= 4);
  expect(operator.statusWrites - statusWrites).toBe(4);
});

test('a Secret that is missing, of no use or for a virtual host that is not there is said in one sentence', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld({ ...broker, managementUrl: 'nonsense' });
  await using operator = await startFolderOperator(world);
  await eventually(() => operator.brokerCondition('Ready')?.reason === 'SecretInvalid');
  expect(operator.brokerCondition('Ready')?.message).toBe(
    'the key "management-uri" of the Secret warren-system/rabbitmq is not a URL',
  );
  await using other = await folderWorld({ ...broker, amqpUrl: `${broker.amqpUrl}-not-there` });
  await using wrong = await startFolderOperator(other);
  await eventually(() => wrong.brokerCondition('Ready')?.reason === 'VirtualHostNotFound');
});

test('an operator that dies before or after any of its writes is followed by one that finishes, without calling it drift', async () => {
  await using broker = await testBroker();
  await using host = virtualHost(broker);
  for (let survived = 0; ; survived += 1) {
    await using world = await folderWorld(broker);
    await world.subscribe('loyalty', {
      events: ['OrderPlaced', 'PaymentApproved'],
      deletionPolicy: 'Delete',
    });
    const calls = recordCallsUntilDeath(survived);
    const dying = await startFolderOperator(world, { calls });
    await eventually(() => calls.died || isReady(dying, 'loyalty'));
    await dying.stop();
    await using next = await startFolderOperator(world);
    await eventually(() => isReady(next, 'loyalty'));
    expect(await host.keysOf('shop.loyalty')).toEqual(['order.placed', 'payment.approved']);
    expect(await host.policyOf('shop.loyalty')).toMatchObject({ 'delivery-limit': 25 });
    expect(next.told.filter(({ type }) => type === 'Warning')).toEqual([]);
    await world.unsubscribe('loyalty');
    await eventually(() => next.resource('loyalty') === undefined);
    if (!calls.died) {
      expect(survived).toBeGreaterThan(5);
      return;
    }
  }
});

test('a write that the broker refuses is said, and tried again until it goes', async () => {
  await using broker = await testBroker();
  await using world = await folderWorld(broker);
  const calls = recordCalls();
  calls.before = (call) => {
    if (call === 'declareQueue')
      throw new ManagementError('WARREN_BROKER_REFUSED', 'PUT /api/queues', 'the limit of queues is reached');
  };
  await world.subscribe('loyalty', { events });
  await using operator = await startFolderOperator(world, { calls });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerRefused');
  expect(operator.condition('loyalty', 'Ready')?.message).toContain('the limit of queues is reached');
  calls.before = () => undefined;
  await eventually(() => isReady(operator, 'loyalty'));
  expect(operator.told.filter(({ reason }) => reason === 'BrokerRefused')).toHaveLength(1);
});

test('a user without a tag is told which one, by EventBroker or subscription, and has what it waits for once it has the tag', async () => {
  const broker = await testBroker();
  await using own = await ownUser(broker, 'management');
  await using shop = await shopWorld({ ...broker, ...own.access });
  const { operator, world } = shop;
  await world.subscribe('loyalty', { events });
  await eventually(() => operator.condition('loyalty', 'Ready')?.reason === 'BrokerRefused');
  expect(operator.condition('loyalty', 'Ready')?.message).toMatch(
    /^PUT .*: User not authorised to access object: give the user the tag policymaker$/,
  );
  expect(operator.brokerCondition('Ready')?.status).toBe('True');

  await own.tag('');
  await eventually(() => operator.brokerCondition('Ready')?.reason === 'Unauthorized');
  expect(operator.brokerCondition('Ready')?.message).toContain('give the user the tag policymaker');

  await own.tag('policymaker');
  await eventually(() => isReady(operator, 'loyalty'));
});
