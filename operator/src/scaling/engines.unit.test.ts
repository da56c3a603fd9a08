import { describe, expect, test } from '@jest/globals';
import { plainSpec } from '@warren/topology/testing';
import type { SubscriptionResource } from '../resources.ts';
import { engineObject, scalingNameOf } from './engines.ts';

const named = (name: string): SubscriptionResource => ({
  metadata: { name, namespace: 'shop', uid: '1' },
  spec: { ...plainSpec, consumer: { kind: 'Deployment', name: 'loyalty' } },
});
const long = (length: number, end: string) => 'a'.repeat(length - end.length) + end;

describe('the name of what an engine is given', () => {
  test.each([1, 46, 47, 54, 55, 63])(
    'is short enough for the autoscaler that KEDA makes of it, for a subscription’s of %d characters',
    (length) => {
      const name = scalingNameOf('Keda', named(long(length, 'b')));
      expect(`keda-hpa-${name}`.length).toBeLessThanOrEqual(63);
      expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
    },
  );

  test('is the subscription’s with -scaling where that is short enough, and always for a HorizontalPodAutoscaler', () => {
    expect(scalingNameOf('Keda', named('loyalty'))).toBe('loyalty-scaling');
    expect(scalingNameOf('Keda', named(long(46, 'b')))).toBe(`${long(46, 'b')}-scaling`);
    expect(scalingNameOf('Hpa', named(long(63, 'b')))).toBe(`${long(63, 'b')}-scaling`);
  });

  test('is another one for each subscription, also where they differ at their end only', () => {
    const [one, other] = ['b', 'c'].map((end) => scalingNameOf('Keda', named(long(63, end))));
    expect(one).not.toBe(other);
    expect(one).toBe(scalingNameOf('Keda', named(long(63, 'b'))));
  });

  test('is that of the object', () => {
    const resource = named(long(63, 'b'));
    const limits = { min: 0, max: 5, drainWithinSeconds: 60 };
    for (const engine of ['Hpa', 'Keda'] as const)
      expect(engineObject(engine, resource, limits, { tolerance: true, url: '' }).metadata.name).toBe(
        scalingNameOf(engine, resource),
      );
  });
});
