import { expect, test } from '@jest/globals';
import type { QueueFound, QueueStats } from '@warren/rabbitmq';
import { EMPTY } from './corrected-counts.ts';
import { QueueCounts } from './queue-counts.ts';

const holding = (messages: number): QueueStats => ({ ...EMPTY, messages, ready: messages });
const queues: readonly QueueFound[] = [];
const listing = () => Promise.resolve({ queues });
const counting = (messages: number) => () => Promise.resolve(new Map([['a', holding(messages)]]));

test('a count is made of the last listing, once; without one it lists by itself', async () => {
  const counts = new QueueCounts();
  const given: unknown[] = [];
  const count = (listed: { queues?: readonly QueueFound[] }) => {
    given.push(listed.queues);
    return counting(5)();
  };
  await counts.list(listing);
  await counts.refresh(count);
  await counts.refresh(count);
  expect(given).toEqual([queues, undefined]);
  expect(counts.of('a')).toEqual(holding(5));
});

test('what is written after a listing outlives the count that is made of it', async () => {
  const counts = new QueueCounts();
  await counts.list(listing);
  counts.wrote('a', 'deleted');
  await counts.refresh(counting(5));
  expect(counts.of('a')).toBeUndefined();
});

test('a queue that is deleted and made anew after a listing is empty, until a later count', async () => {
  const counts = new QueueCounts();
  await counts.list(listing);
  counts.wrote('a', 'deleted');
  counts.wrote('a', 'declared');
  await counts.refresh(counting(5));
  expect(counts.of('a')).toEqual(EMPTY);
  await counts.refresh(counting(2));
  expect(counts.of('a')).toEqual(holding(2));
});

test('what is written while queues are listed, or counted, outlives that count', async () => {
  const counts = new QueueCounts();
  await counts.list(() => {
    counts.wrote('a', 'deleted');
    return listing();
  });
  await counts.refresh(counting(5));
  expect(counts.of('a')).toBeUndefined();
  await counts.refresh(() => {
    counts.wrote('a', 'declared');
    return counting(5)();
  });
  expect(counts.of('a')).toEqual(EMPTY);
});

test('a later listing, or a count that failed, has nothing to do with writes before the next one', async () => {
  const counts = new QueueCounts();
  await counts.list(listing);
  counts.wrote('a', 'deleted');
  await counts.list(listing);
  await counts.refresh(counting(5));
  expect(counts.of('a')).toEqual(holding(5));
  await expect(
    counts.refresh(() => {
      counts.wrote('a', 'deleted');
      return Promise.reject(new Error('away'));
    }),
  ).rejects.toThrow('away');
  await counts.refresh(counting(7));
  expect(counts.of('a')).toEqual(holding(7));
});

test('a listing that failed leaves the one before it, with what was written since', async () => {
  const counts = new QueueCounts();
  await counts.list(listing);
  counts.wrote('a', 'deleted');
  await expect(counts.list(() => Promise.reject(new Error('away')))).rejects.toThrow('away');
  await counts.refresh(counting(5));
  expect(counts.of('a')).toBeUndefined();
});
