import { expect, test } from '@jest/globals';
import { inventoryOf } from '@warren/topology';
import { claimantIn, judge, markOf } from './claim.ts';
import type { Claimant } from './claim.ts';

const ours: Claimant = { broker: 'default', uid: 'u1', cluster: 'c1' };
const alone = { exists: () => true, mayTakeOver: false };
const found = (exchanges: Parameters<typeof inventoryOf>[0]['exchanges']) =>
  inventoryOf({ exchanges, queues: [], bindings: [], policies: [] });

test('a mark says what was put into it', () => {
  expect(claimantIn(found([{ ...markOf(ours), internal: false }]))).toEqual(ours);
  expect(claimantIn(found([]))).toBeUndefined();
});

test.each<[string, Claimant | undefined, Partial<typeof alone>, string]>([
  ['nobody has it', undefined, {}, 'free'],
  ['it is ours', ours, {}, 'ours'],
  ['ours, of an EventBroker that was made anew', { ...ours, uid: 'u0' }, {}, 'free'],
  ['ours, of before the CA of the cluster changed', { ...ours, cluster: 'c0' }, {}, 'free'],
  ['of the same name in another cluster', { ...ours, uid: 'u2', cluster: 'c2' }, {}, 'taken'],
  ['of another EventBroker of this cluster', { ...ours, broker: 'other', uid: 'u2' }, {}, 'taken'],
  [
    'of one of this cluster that is gone',
    { ...ours, broker: 'other', uid: 'u2' },
    { exists: () => false },
    'free',
  ],
  [
    'of one of another cluster, whether it is gone nobody knows',
    { broker: 'other', uid: 'u2', cluster: 'c2' },
    { exists: () => false },
    'taken',
  ],
  ['of another cluster, to be adopted', { ...ours, uid: 'u2', cluster: 'c2' }, { mayTakeOver: true }, 'free'],
])('%s', (_it, theirs, circumstances, claim) => {
  expect(judge(ours, theirs, { ...alone, ...circumstances }).claim).toBe(claim);
});

test('where nothing tells clusters apart the uid alone counts', () => {
  const here = { broker: 'default', uid: 'u1' };
  expect(judge(here, here, alone)).toEqual({ claim: 'ours' });
  expect(judge(here, { ...here, uid: 'u2' }, alone)).toMatchObject({
    claim: 'taken',
    message: expect.stringContaining('warren.events/adopt=true'),
  });
});
