/** Two versions of a service at once: the new one keeps a projection that the old one does not know. */
import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import { createRelay } from './relay.ts';
import type { Relay } from './relay.ts';
import { orders, spending } from './testing/projections.ts';
import { cause, openStore, placed } from './testing/test-store.ts';
import type { TestStore } from './testing/test-store.ts';

/** A relay that publishes to nowhere, and tells what holds it. */
function relayOf({ store }: TestStore, held: string[] = []): Relay & { published: string[] } {
  const published: string[] = [];
  const relay = createRelay({
    store,
    pollMs: 20,
    graceMs: 0,
    leaseMs: 100,
    backoff: { initialMs: 10, maxMs: 50 },
    publish: ({ aggregateId }) => Promise.resolve(void published.push(aggregateId)),
    observer: { held: ({ error }) => held.push((error as { code?: string }).code ?? '') },
  });
  relay.start();
  return Object.assign(relay, { published });
}

describe.each([
  ['a projection is added to others', [orders], [orders, spending]],
  ['the first projection is added', [], [orders, spending]],
] as const)('when %s', (_, before, after) => {
  test('what the old version appends is published by it, and marked by the new one when it is projected', async () => {
    await using database = await testDatabase();
    await using old = await openStore(database.url, { projections: before });
    await old.store.append('o1', 0, [placed('o1')], cause);
    const held: string[] = [];
    await using oldRelay = relayOf(old, held);
    await eventually(async () => (await oldRelay.backlog()).count === 0);

    await using updated = await openStore(database.url, { projections: after });
    expect(await updated.store.projection(spending).get('user-1')).toMatchObject({ orders: 1 });
    await old.store.append('o2', 0, [placed('o2')], cause);
    await eventually(() => oldRelay.published.includes('o2') && held.length > 2);
    expect(new Set(held)).toEqual(new Set(['WARREN_PROJECTION_UNKNOWN']));
    expect((await oldRelay.backlog()).count).toBe(1);
    expect(oldRelay.published).toEqual(['o1', 'o2']);

    await using newRelay = relayOf(updated);
    await eventually(async () => (await newRelay.backlog()).count === 0);
    expect(await updated.store.projection(spending).get('user-1')).toMatchObject({ orders: 2 });
    expect(newRelay.published).toEqual(['o2']);
  });
});

test('a projection that no process keeps any more holds nothing up', async () => {
  await using database = await testDatabase();
  await using old = await openStore(database.url, { projections: [orders, spending] });
  await using updated = await openStore(database.url, { projections: [orders] });
  await using relay = relayOf(updated);
  await updated.store.append('o1', 0, [placed('o1')], cause);
  await eventually(() => relay.published.length === 1);
  expect((await relay.backlog()).count).toBe(1);

  const registry = old.connection.db!.collection<{ _id: string; wantedAt: Date }>('projections');
  const { wantedAt } = (await registry.findOne({ _id: 'spending' }))!;
  await registry.updateOne(
    { _id: 'spending' },
    { $set: { wantedAt: new Date(wantedAt.getTime() - 300_000) } },
  );
  await eventually(async () => (await relay.backlog()).count === 0);
  expect(relay.published).toEqual(['o1']);
});
