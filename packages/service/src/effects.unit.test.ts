import { expect, test } from '@jest/globals';
import { UserCreated } from '@warren/contracts';
import type { EventStore, Inbox } from '@warren/event-store';
import { createEffects } from './effects.ts';
import { createLog } from './log.ts';
import { asEvent } from './testing/given.ts';

test('a claim is held for half of the time limit of a handler at most, in which another can still take it over', async () => {
  const leases: number[] = [];
  const inbox: Pick<Inbox, 'once'> = {
    once: async (_handler, messageId, effect, { leaseMs }) => {
      leases.push(leaseMs);
      return { done: 'now', result: await effect(messageId, new AbortController().signal) };
    },
  };
  const effects = createEffects({
    subscription: 'points',
    claimant: 'points',
    store: {} as EventStore,
    inbox: inbox as Inbox,
    handlerTimeoutMs: 1000,
    log: createLog('loyalty', 'silent'),
  });
  const event = asEvent(UserCreated.create({ userId: 'ada', email: 'ada@example.com', name: 'Ada' }));
  const { once } = effects(event, { attempt: 1, signal: new AbortController().signal }).context;
  await once(() => Promise.resolve());
  await once(() => Promise.resolve(), { leaseMs: 200 });
  expect(leases).toEqual([500, 200]);
});
