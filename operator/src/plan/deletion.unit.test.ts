import { expect, test } from '@jest/globals';
import { brokerOf, holding, inForce, nothing, plan, queue, read, subscription } from '../testing/planning.ts';
import type { BrokerReading } from './plan.ts';

test.each([
  [{ 'warren.events/paused': 'true' }, {}, 'warren.events/paused: its queues are left'],
  [{ 'warren.events/unmanaged': 'true' }, {}, 'warren.events/unmanaged: its queues are left'],
  [{ 'warren.events/release-to': 'shop/points' }, { releasedTo: 'shop/points' }, 'released to shop/points'],
])(
  'a removed subscription that the operator keeps its hands off deletes nothing: %j',
  (annotations, status, says) => {
    const managed = inForce(subscription({ deletionPolicy: 'Delete' }, { annotations }));
    const resource = { ...managed, status: { ...managed.status, ...status } };
    const made = plan(brokerOf(managed), { removed: [resource] });
    expect(made.subscriptions[0]).toMatchObject({
      action: 'delete',
      objects: [],
      notes: [expect.stringContaining(says)],
    });
    expect(made.virtualHosts[0]?.policies).toEqual([]);
  },
);

test('a removed subscription goes as its deletionPolicy says, messages counted', () => {
  const goes = (deletionPolicy: 'Retain' | 'Delete' | 'DeleteWhenEmpty') => {
    const resource = inForce(subscription({ deletionPolicy }));
    return plan(holding(brokerOf(resource), queue, 3), { removed: [resource] }).subscriptions[0];
  };
  expect(goes('Delete')?.objects).toContainEqual({ action: 'delete', kind: 'queue', name: queue });
  expect(goes('Delete')?.notes).toEqual([
    'deletionPolicy is Delete: messages are lost: shop.loyalty holds 3 messages',
  ]);
  expect(goes('DeleteWhenEmpty')?.notes[0]).toContain('waits until no message is left');
  expect(goes('Retain')?.objects).toEqual([]);
  expect(goes('Retain')?.notes[0]).toContain('its queues are left');
});

test('a virtual host that another operator has is a conflict, and nothing is deleted there', () => {
  const resource = inForce(subscription({ deletionPolicy: 'Delete' }));
  const taken = 'EventBroker "theirs" has the virtual host';
  const readings = new Map<string, BrokerReading>([['default', { ...read(brokerOf(resource)), taken }]]);
  const refused = plan(nothing, { subscriptions: [{ resource: subscription() }], readings });
  expect(refused.subscriptions[0]).toMatchObject({ conflicts: [taken], objects: [] });
  const removed = plan(nothing, { removed: [resource], readings });
  expect(removed.subscriptions[0]).toMatchObject({ objects: [], notes: [`its queues are left: ${taken}`] });
});
