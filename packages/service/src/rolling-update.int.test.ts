/** Two versions of a service at once: the new one adds to its log what the old one does not know. */
import { expect, test } from '@jest/globals';
import { createCatalogue, defineEvent, OrderCompleted } from '@warren/contracts';
import type { AnyEventType, Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import type { Decider } from '@warren/event-store';
import { z } from 'zod';
import { defineService } from './definition.ts';
import { on } from './handlers.ts';
import { asEvent, ask, openWorkbench } from './testing/index.ts';

const owner = 'till';
const schema = z.looseObject({ orderId: z.string() });
const v1 = { schema, example: { orderId: 'o1' } };
const v2 = { schema: schema.extend({ currency: z.string() }), example: { orderId: 'o1', currency: 'EUR' } };
const description = 'An order was rung up.';
const before = defineEvent({ type: 'OrderRung', owner, description, versions: { 1: v1 } });
const after = defineEvent({
  type: 'OrderRung',
  owner,
  description,
  versions: { 1: v1, 2: v2 },
  upcasters: { 1: (data) => ({ ...data, currency: 'EUR' }) },
});
const added = defineEvent({ type: 'TillRung', owner, description, versions: { 1: v1 } });

/** A service that appends the last of its types for each order, all of them to one aggregate. */
const till = (...types: [AnyEventType, ...AnyEventType[]]) => {
  const { type, newest, versions } = types.at(-1) ?? types[0];
  const decider: Decider<number, string> = {
    initial: 0,
    evolve: (rung) => rung + 1,
    decide: (orderId) => [{ type, data: { ...(versions.get(newest)?.example as object), orderId } }],
  };
  return defineService({
    name: 'till',
    catalogue: createCatalogue([OrderCompleted, ...types]),
    parts: () => ({
      consumers: {
        till: [
          on(OrderCompleted, ({ data: { orderId } }, { execute }) => execute(decider, 'till-1', orderId)),
        ],
      },
    }),
  });
};

const completed = (orderId: string): Event =>
  asEvent(OrderCompleted.create({ orderId, userId: 'u', total: 1, paymentId: 'p' }), 0, {
    id: `completed-${orderId}`,
    aggregateId: orderId,
  });

test.each([
  ['a newer version of a type', till(after)],
  ['a type', till(before, added)],
])(
  'a message for an aggregate with %s that only the new version knows is tried again until that one has it',
  async (_, updated) => {
    await using ground = await openWorkbench({ broker: await testBroker(), database: await testDatabase() });
    const subscription = await ground.subscribe('till', ['order.completed'], { attempts: 100 });
    const first = await ground.start(updated);
    await subscription.publish(completed('o1'));
    await eventually(() => ground.spy.events().some(({ causationId }) => causationId === 'completed-o1'));
    await first.stop();

    const old = await ground.start(till(before));
    await subscription.publish(completed('o2'));
    await eventually(async () => {
      const { text } = await ask(`${old.url}/metrics`);
      return /^warren_events_consumed_total\{.*outcome="failed".*\} [2-9]/m.test(text);
    });
    expect(await subscription.deadLetter()).toBeUndefined();
    await old.stop();

    await ground.start(updated);
    await eventually(() => ground.spy.events().some(({ causationId }) => causationId === 'completed-o2'));
    expect(await subscription.deadLetter()).toBeUndefined();
  },
);
