/** The example of README.md, run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createCatalogue, defineEvent } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testDatabase } from '@warren/environment/testing';
import mongoose from 'mongoose';
import { z } from 'zod';
import { createEventStore, createRelay, defineProjection } from './index.ts';
import type { Decider } from './index.ts';

test('the example does what it says', async () => {
  await using database = await testDatabase();
  const url = database.url;
  const published: Event[] = [];
  const publisher = { publish: (event: Event) => Promise.resolve(void published.push(event)) };

  // README: begin
  const MoneyDeposited = defineEvent({
    type: 'MoneyDeposited',
    owner: 'bank',
    description: 'Money came in.',
    versions: { 1: { schema: z.looseObject({ cents: z.int().positive() }), example: { cents: 100 } } },
  });

  const account: Decider<{ cents: number }, { deposit: number }> = {
    initial: { cents: 0 },
    evolve: (state, event) => (MoneyDeposited.is(event) ? { cents: state.cents + event.data.cents } : state),
    decide: ({ deposit }) => [MoneyDeposited.create({ cents: deposit })],
  };

  const balances = defineProjection<{ cents: number }>({
    name: 'balances',
    key: (event) => event.aggregateId,
    evolve: (balance, event) =>
      MoneyDeposited.is(event) ? { cents: (balance?.cents ?? 0) + event.data.cents } : balance,
  });

  const connection = await mongoose.createConnection(url).asPromise();
  const store = createEventStore({
    connection,
    catalogue: createCatalogue([MoneyDeposited]),
    source: 'bank',
    projections: [balances],
  });
  await store.init();
  const relay = createRelay({ store, publish: (event) => publisher.publish(event) });
  relay.start();

  // The claim on message m1 and its effect are one write: a second delivery changes nothing.
  const because = { correlationId: 'c1', once: { handler: 'bank', messageId: 'm1' } };
  await store.execute(account, 'account-1', { deposit: 500 }, because);
  await store.execute(account, 'account-1', { deposit: 500 }, because);
  await store.projection(balances).get('account-1'); // { cents: 500 }
  // README: end

  try {
    expect(await store.projection(balances).get('account-1')).toEqual({ cents: 500 });
    await eventually(async () => (await relay.backlog()).count === 0);
    expect(published).toMatchObject([{ type: 'MoneyDeposited', aggregateId: 'account-1', version: 1 }]);
  } finally {
    await relay.stop();
    await connection.close();
  }
});

test('the example is the one of README.md', () => {
  const here = readFileSync(import.meta.filename, 'utf8');
  const example = /README: begin\n(.*?)\n *\/\/ README: end/s.exec(here)?.[1] ?? '';
  const lines = example.split('\n').map((line) => line.replace(/^ {2}/, ''));
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  expect(readme).toContain(lines.join('\n'));
});
