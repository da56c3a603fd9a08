import { expect, test } from '@jest/globals';
import type { Migration } from '@warren/topology';
import type { MigrationStatus } from '../resources.ts';
import { beginningOf, endOf, progressOf } from './progress.ts';

const leaving: Migration = {
  queue: 'shop.loyalty',
  changes: [{ property: 'x-single-active-consumer', from: 'none', to: 'true' }],
  consumers: 'wanted' as const,
  sources: [],
  phase: 'Draining',
  memberships: [],
  steps: [],
};
const before: MigrationStatus = {
  queue: 'shop.loyalty',
  from: 'x-single-active-consumer none',
  to: 'x-single-active-consumer true',
  phase: 'Draining',
  moved: 100,
  remaining: 50,
};

test('the first pass says what is changed', () => {
  expect(progressOf({}, { migration: leaving, moved: 100, remaining: 50, againMs: 1 })).toEqual(before);
});

test('once the queue was made anew, what it was is kept, and what was moved is summed up', () => {
  const back: Migration = { ...leaving, changes: [], phase: 'Returning' };
  const pass = { migration: back, moved: 20, remaining: 30, againMs: 1 };
  expect(progressOf({ status: { migration: before } }, pass)).toEqual({
    ...before,
    phase: 'Returning',
    moved: 120,
    remaining: 30,
  });
});

test('what is not counted stays as it was last known, and is not zero', () => {
  const unknown = { migration: leaving, moved: 0, remaining: undefined, againMs: 1 };
  expect(progressOf({ status: { migration: before } }, unknown).remaining).toBe(50);
  expect(progressOf({}, unknown)).not.toHaveProperty('remaining');
});

test('a status that was lost is no reason not to go on', () => {
  const back: Migration = { ...leaving, changes: [], phase: 'Returning' };
  const { from, to } = progressOf({}, { migration: back, moved: 0, remaining: 1, againMs: 1 });
  expect({ from, to }).toEqual({ from: 'what it was', to: 'what is wanted' });
});

test('another queue of the same subscription begins anew', () => {
  const dead: MigrationStatus = { ...before, queue: 'shop.loyalty.dead' };
  const pass = { migration: leaving, moved: 1, remaining: 1, againMs: 1 };
  expect(progressOf({ status: { migration: dead } }, pass).moved).toBe(1);
  expect(beginningOf({ status: { migration: dead } }, before)?.reason).toBe('MigrationStarted');
});

test('the beginning is told once, the end with how much was moved', () => {
  expect(beginningOf({}, before)?.message).toBe(
    'queue shop.loyalty is made anew, with its messages: x-single-active-consumer none becomes x-single-active-consumer true',
  );
  expect(beginningOf({ status: { migration: before } }, before)).toBeUndefined();
  expect(endOf(before)).toMatchObject({ type: 'Normal', reason: 'Migrated' });
  expect(endOf(before).message).toContain('100 messages were moved');
});
