import { expect, test } from '@jest/globals';
import { OrderCompleted, PointsEarned, shopCatalogue } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import type { Decider } from '@warren/event-store';
import { defineService } from './definition.ts';
import type { ServiceParts } from './definition.ts';
import { on } from './handlers.ts';
import { asEvent, ask, openWorkbench } from './testing/index.ts';

const order = (id: string): Event =>
  asEvent(OrderCompleted.create({ orderId: id, userId: 'user-1', total: 10, paymentId: 'p' }), 0, {
    id: `completed-${id}`,
    aggregateId: id,
  });

const account: Decider<null, string> = {
  initial: null,
  evolve: (state) => state,
  decide: (orderId) => [PointsEarned.create({ userId: 'user-1', orderId, points: 10 })],
};

test('an event that was handled under the old name of a subscription takes no effect under the new one', async () => {
  await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
  const mails: string[] = [];
  const handlers = [
    on(OrderCompleted, async ({ data: { orderId } }, { once, execute }) => {
      await once(() => Promise.resolve(void mails.push(orderId)), { effect: 'mail' });
      await execute(account, 'account-1', orderId);
    }),
  ];
  const service = (consumers: ServiceParts['consumers'] & object) =>
    defineService({ name: 'loyalty', catalogue: shopCatalogue, parts: () => ({ consumers }) });
  const earned = () =>
    ground.spy.events('PointsEarned').map(({ data }) => (data as { orderId: string }).orderId);

  const before = await ground.subscribe('loyalty', ['order.completed']);
  const first = await ground.start(service({ loyalty: handlers }));
  await before.publish(order('o1'));
  await eventually(() => earned().includes('o1'));
  await first.stop();

  const after = await ground.subscribe('points', ['order.completed']);
  const { url } = await ground.start(service({ points: { inbox: 'loyalty', handlers } }));
  await after.publish(order('o1'), order('o2'));
  await eventually(() => earned().includes('o2'));
  await eventually(async () => {
    const { text } = await ask(`${url}/metrics`);
    return /^warren_events_consumed_total\{.*outcome="duplicate".*\} 1$/m.test(text);
  });
  expect(mails).toEqual(['o1', 'o2']);
  expect(earned()).toEqual(['o1', 'o2']);
});
