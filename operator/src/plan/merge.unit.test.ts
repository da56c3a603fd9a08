import { expect, test } from '@jest/globals';
import { threeWayPatch } from './merge.ts';

const there = {
  spec: { events: ['A'], queue: { type: 'quorum', maxLength: 5 }, delivery: { prefetch: 99 } },
};

test('what was applied and is in the file no more goes, what others set stays', () => {
  const last = { spec: { events: ['A'], queue: { maxLength: 5 } } };
  expect(threeWayPatch(last, { spec: { events: ['A', 'B'], queue: {} } }, there)).toEqual({
    spec: { events: ['A', 'B'], queue: { maxLength: null } },
  });
});

test('what is there as the file says is not in the patch, and a map that is new is in it whole', () => {
  expect(threeWayPatch({}, { spec: { events: ['A'] } }, there)).toEqual({});
  expect(threeWayPatch({}, { spec: { scaling: { maxReplicas: 3 } } }, there)).toEqual({
    spec: { scaling: { maxReplicas: 3 } },
  });
});

test('a field that went already is not asked to go again', () => {
  expect(threeWayPatch({ spec: { startFrom: 'Now' } }, { spec: {} }, there)).toEqual({});
});
