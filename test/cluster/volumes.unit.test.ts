import { expect, test } from '@jest/globals';
import { tiedHosts, type Volume } from './volumes.ts';

const volume = (
  phase: string,
  ...expressions: { key: string; operator: string; values?: string[] }[]
): Volume => ({
  status: { phase },
  spec: { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: expressions }] } } },
});
const on = (host: string) => ({ key: 'kubernetes.io/hostname', operator: 'In', values: [host] });

test('a volume of kind ties its pod to the node that it was made on', () => {
  expect(tiedHosts([volume('Bound', on('warren-worker')), volume('Bound', on('warren-worker2'))])).toEqual(
    new Set(['warren-worker', 'warren-worker2']),
  );
});

test('a volume that every node has, is nowhere in particular or is not in use ties nothing', () => {
  const everywhere = { key: 'kubernetes.io/hostname', operator: 'Exists' };
  const zone = { key: 'topology.kubernetes.io/zone', operator: 'In', values: ['a'] };
  expect(
    tiedHosts([
      volume('Bound', everywhere),
      volume('Bound', zone),
      volume('Released', on('warren-worker')),
      { status: { phase: 'Bound' }, spec: {} },
    ]),
  ).toEqual(new Set());
});
