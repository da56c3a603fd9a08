import { expect, test } from '@jest/globals';
import type { QueueActivity } from '@warren/rabbitmq';
import { inventoryOf } from '@warren/topology';
import type { FoundQueue } from '@warren/topology';
import { delaysOf } from './delays.ts';

const queue = 'shop.loyalty';
const NOBODY = new AbortController().signal;

function foundWith(counts: Partial<FoundQueue>) {
  const there = { name: queue, type: 'quorum', durable: true, autoDelete: false, arguments: {} };
  return inventoryOf({ exchanges: [], bindings: [], policies: [], queues: [{ ...there, ...counts }] });
}

function delays(counts: Partial<FoundQueue>, inMs?: number) {
  const activity = inMs === undefined ? {} : { delayedUntil: Date.now() + inMs };
  const activityOf = () => Promise.resolve(new Map([[queue, activity as QueueActivity]]));
  return delaysOf({ queue }, foundWith(counts), { activityOf }, NOBODY);
}

const delayed = { messages: 3, ready: 1, unacked: 1 };

test('a retry is told that the broker delays for longer than what is new may wait', async () => {
  expect([...(await delays(delayed, 3_600_000)).keys()]).toEqual([queue]);
});

test.each([
  ['one that is due soon', delayed, 5_000],
  ['one whose time the broker does not tell', delayed, undefined],
  ['what is ready or in hand', { messages: 2, ready: 1, unacked: 1 }, 3_600_000],
  ['what the broker has not counted', {}, 3_600_000],
  ['what it has not told apart', { messages: 2 }, 3_600_000],
])('%s is not', async (_what, counts, inMs) => {
  expect([...(await delays(counts, inMs))]).toEqual([]);
});
