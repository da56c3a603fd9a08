import { describe, expect, test } from '@jest/globals';
import type { QueueStats } from '@warren/rabbitmq';
import { plainSpec } from '@warren/topology/testing';
import type { SubscriptionResource } from '../resources.ts';
import { countsOf, isCountedAnew, messagesOf } from './counts.ts';

const stats = (ready: number | undefined, oldest?: number): QueueStats => ({
  messages: ready,
  ready,
  unacked: ready === undefined ? undefined : 0,
  delayed: 0,
  consumers: 1,
  state: 'running',
  oldest,
});
const resource = (type: 'quorum' | 'stream' = 'quorum'): SubscriptionResource => ({
  metadata: { name: 'a', namespace: 'shop' },
  spec: { ...plainSpec, queue: { type } },
});
const count = (main: QueueStats, of = resource()) =>
  countsOf(of, { statsOf: (queue) => (queue === 'shop.a' ? main : stats(2)) });
const [noon, later] = ['2026-01-01T12:00:00.000Z', '2026-01-01T12:10:00.000Z'];

describe('the counts of a subscription', () => {
  test('are unknown, and not zero, where the broker does not tell', () => {
    expect(count(stats(undefined))).toBeUndefined();
  });

  test('of a stream are its dead letters and consumers: what is ready nobody knows', () => {
    const counts = count(stats(undefined), resource('stream'));
    expect(counts).toEqual({ deadLetters: 2, consumers: 1 });
    expect(messagesOf(counts, undefined, noon)).toEqual({ deadLetters: 2 });
  });
});

describe('since when messages wait', () => {
  const said = (ready: number, before?: string, oldest?: number) =>
    messagesOf(
      count(stats(ready, oldest)),
      before === undefined ? undefined : { deadLetters: 0, waitingSince: before },
      later,
    )?.waitingSince;

  test('is not said of an empty queue', () => {
    expect(said(0)).toBeUndefined();
    expect(said(0, noon)).toBeUndefined();
  });

  test('is when they were first seen, for as long as there are some', () => {
    expect(said(3)).toBe(later);
    expect(said(5, noon)).toBe(noon);
  });

  test('is when the first one was published, where the broker tells', () => {
    expect(said(3, undefined, Date.parse(noon))).toBe(noon);
    expect(said(3, noon, Date.parse(later))).toBe(later);
  });

  test('is no news by itself while a queue is worked off', () => {
    expect(said(3, noon, Date.parse(noon) + 30_000)).toBe(noon);
    const one = resource();
    const counts = count(stats(3, Date.parse(noon) + 30_000));
    one.status = {
      messages: { ready: 3, unacked: 0, deadLetters: 2, waitingSince: noon },
      consumers: 1,
    };
    expect(isCountedAnew(one, counts)).toBe(false);
    expect(isCountedAnew(one, { ...counts!, oldest: Date.parse(later) })).toBe(true);
  });
});
