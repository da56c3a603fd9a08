import { expect, test } from '@jest/globals';
import { capabilitiesOf } from '@warren/topology';
import type { QueueActivity } from '@warren/rabbitmq';
import { plainSpec } from '@warren/topology/testing';
import type { SubscriptionResource } from '../resources.ts';
import { Meter, observationOf, queuesOf } from './meter.ts';

const resource: SubscriptionResource = {
  metadata: { name: 'loyalty', namespace: 'shop', uid: '1' },
  spec: {
    ...plainSpec,
    consumer: { kind: 'Deployment', name: 'loyalty' },
    scaling: { minReplicas: 1, maxReplicas: 10, drainWithin: '30s', engine: 'Hpa' },
  },
};
const activity = (change: Partial<QueueActivity> = {}): QueueActivity => ({
  ...{ ready: 0, unacked: 0, delayed: 0, consumers: 1, acked: 0, redelivered: 0, published: 0 },
  ...change,
});
const delaying = queuesOf(resource, capabilitiesOf('4.3.6'));
const ladder = queuesOf(resource, capabilitiesOf('4.0.5'));

test('the dead letters are nobody’s backlog; wait queues are those of the ladder', () => {
  expect(delaying).toEqual({ consumed: ['shop.loyalty'], waits: [] });
  expect(ladder.consumed).toEqual(['shop.loyalty']);
  expect(ladder.waits).toContain('shop.loyalty.wait.1000');
  expect(ladder.waits).not.toContain('shop.loyalty.dead');
});

test('a number that is not told makes no observation', () => {
  for (const missing of ['ready', 'unacked', 'delayed', 'consumers', 'acked', 'redelivered'] as const)
    expect(
      observationOf(delaying, new Map([['shop.loyalty', activity({ [missing]: undefined })]]), 1, 0),
    ).toBeUndefined();
  expect(observationOf(delaying, new Map(), 1, 0)).toBeUndefined();
});

test('on the ladder, what waits is in the wait queues, and what went there was not done', () => {
  const found = new Map([
    ['shop.loyalty', activity({ ready: 5, acked: 100, redelivered: 1 })],
    ['shop.loyalty.wait.1000', activity({ ready: 7, published: 30 })],
  ]);
  expect(observationOf(ladder, found, 2, 0)).toMatchObject({
    ...{ ready: 5, delayed: 7, acked: 70, retried: 31, replicas: 2 },
  });
});

test('before anything was seen there is nothing to say; what was seen long ago says "stay put"', () => {
  let now = 0;
  const meter = new Meter(() => now);
  expect(meter.demandOf(resource)).toBeUndefined();
  now = 31_000;
  expect(meter.demandOf(resource)).toMatchObject({ replicas: undefined, reason: 'StatisticsMissing' });
  meter.see(resource, delaying, new Map([['shop.loyalty', activity()]]), 4);
  expect(meter.demandOf(resource)).toMatchObject({ replicas: 4, reason: 'Measuring' });
  now += 31_000;
  meter.see(resource, delaying, new Map(), 4);
  expect(meter.demandOf(resource)).toMatchObject({ replicas: undefined, reason: 'StatisticsMissing' });
});
