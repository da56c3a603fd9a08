import { expect, test } from '@jest/globals';
import type { QueueStats } from '@warren/rabbitmq';
import { correctedCounts, EMPTY } from './corrected-counts.ts';
import type { QueueWrite } from './corrected-counts.ts';

const holding = (messages: number): QueueStats => ({ ...EMPTY, messages, ready: messages, state: 'running' });
/** Listed, and not counted by the broker yet. */
const listed: QueueStats = {
  ...{ messages: undefined, ready: undefined, unacked: undefined, delayed: undefined },
  ...{ consumers: 0, state: 'running' },
};

function corrected(
  counted: Record<string, QueueStats>,
  known: { uncounted?: string[]; since?: Record<string, QueueWrite> } = {},
) {
  const { stats, uncounted } = correctedCounts(new Map(Object.entries(counted)), {
    uncounted: new Set(known.uncounted),
    since: new Map(Object.entries(known.since ?? {})),
  });
  return { stats: Object.fromEntries(stats), uncounted: [...uncounted] };
}

test('what nobody has written is as it was counted, and what was not counted is not known', () => {
  const counted = { a: holding(5), b: listed };
  expect(corrected(counted)).toEqual({ stats: counted, uncounted: [] });
});

test('a queue that we made is empty until the broker has counted it', () => {
  const first = corrected({ a: listed }, { uncounted: ['a'] });
  expect(first).toEqual({ stats: { a: EMPTY }, uncounted: ['a'] });
  const next = corrected({ a: holding(2) }, { uncounted: ['a'] });
  expect(next).toEqual({ stats: { a: holding(2) }, uncounted: [] });
});

test('a queue that we made and that is not there when it is next counted was deleted by somebody else', () => {
  expect(corrected({}, { uncounted: ['a'] })).toEqual({ stats: {}, uncounted: [] });
});

test('a queue that was made since the count began is empty, though the count has missed it', () => {
  const { stats, uncounted } = corrected({}, { uncounted: ['a'], since: { a: 'declared' } });
  expect({ stats, uncounted }).toEqual({ stats: { a: EMPTY }, uncounted: ['a'] });
});

test('a queue that was made since the count began has nothing of the one before it under its name', () => {
  const made = { stats: { a: EMPTY }, uncounted: ['a'] };
  expect(corrected({ a: holding(5) }, { uncounted: ['a'], since: { a: 'declared' } })).toEqual(made);
});

test('a queue that was deleted since the count began is not known, whether it was counted or not', () => {
  const counted = { a: holding(5), c: holding(1) };
  const { stats, uncounted } = corrected(counted, { since: { a: 'deleted', b: 'deleted' } });
  expect({ stats, uncounted }).toEqual({ stats: { c: holding(1) }, uncounted: [] });
});

test('nothing that was given is changed', () => {
  const counted = new Map([['a', holding(5)]]);
  const uncounted = new Set(['b']);
  const since = new Map<string, QueueWrite>([['a', 'deleted']]);
  correctedCounts(counted, { uncounted, since });
  expect([...counted.keys(), ...uncounted]).toEqual(['a', 'b']);
});
