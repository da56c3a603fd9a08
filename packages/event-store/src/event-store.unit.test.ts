import { expect, test } from '@jest/globals';
import { shopCatalogue } from '@warren/contracts';
import mongoose from 'mongoose';
import { createEventStore } from './event-store.ts';
import { createInbox } from './inbox.ts';
import { cause, placed } from './testing/test-store.ts';

test('before the connection is open, everything says so at once', async () => {
  const connection = mongoose.createConnection();
  const store = createEventStore({ connection, catalogue: shopCatalogue, source: 'test' });
  const attempts = [
    store.init(),
    store.append('o', 0, [placed('o')], cause),
    store.read('o'),
    store.outbox.backlog(),
    createInbox({ connection }).once('h', 'm', () => Promise.resolve(), { leaseMs: 1000 }),
  ];
  for (const attempt of attempts) {
    await expect(attempt).rejects.toMatchObject({ name: 'StoreClosedError', code: 'WARREN_STORE_CLOSED' });
  }
});
