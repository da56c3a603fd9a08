import { describe, expect, test } from '@jest/globals';
import type { SubscriptionResource } from '../resources.ts';
import { subscriptionOf } from '../testing/takeover-resources.ts';
import { standingOf } from './handover.ts';

const OLD = 'shop/loyalty';
const NEW = 'crm/points';
const releasing = { 'warren.events/release-to': NEW };
const claiming = { 'warren.events/claim-from': OLD };

function standings(...resources: SubscriptionResource[]) {
  const all = new Map(resources.map((one) => [`${one.metadata.namespace ?? ''}/${one.metadata.name}`, one]));
  return (key: string) => {
    const resource = all.get(key);
    if (resource === undefined) throw new Error(`no ${key}`);
    return standingOf(resource, (other) => all.get(other));
  };
}

const moving = { migration: { queue: 'shop.loyalty', from: OLD, to: NEW, phase: 'Draining', moved: 1 } };

describe('two that name each other', () => {
  test('take over and release', () => {
    const of = standings(subscriptionOf(OLD, releasing), subscriptionOf(NEW, claiming));
    expect(of(NEW)).toMatchObject({ standing: 'takingOver', old: { key: OLD } });
    expect(of(OLD)).toMatchObject({ standing: 'releasing', to: { key: NEW }, begun: false });
  });

  test('are done when the new one says so, for good', () => {
    const of = standings(
      subscriptionOf(OLD, releasing),
      subscriptionOf(NEW, claiming, { status: { claimedFrom: OLD } }),
    );
    expect(of(NEW)).toEqual({ standing: 'own' });
    expect(of(OLD)).toMatchObject({ standing: 'released' });
  });

  test('can go the other way round later', () => {
    const of = standings(
      subscriptionOf(
        OLD,
        { 'warren.events/claim-from': NEW },
        { status: { releasedTo: NEW }, finalizers: [] },
      ),
      subscriptionOf(NEW, { ...claiming, 'warren.events/release-to': OLD }, { status: { claimedFrom: OLD } }),
    );
    expect(of(OLD)).toMatchObject({ standing: 'takingOver', old: { key: NEW } });
  });

  test('and both ways at once do nothing', () => {
    const both = (key: string) => ({ 'warren.events/claim-from': key, 'warren.events/release-to': key });
    const of = standings(subscriptionOf(OLD, both(NEW)), subscriptionOf(NEW, both(OLD)));
    expect(of(OLD)).toMatchObject({
      standing: 'pending',
      message: expect.stringContaining('at the same time'),
    });
    expect(of(NEW)).toMatchObject({ standing: 'pending' });
  });
});

describe('without the consent of both', () => {
  test.each([
    [
      'there is no such subscription',
      [subscriptionOf(NEW, claiming)],
      'there is no EventSubscription shop/loyalty',
    ],
    [
      'it is not released',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD)],
      'annotate shop/loyalty with warren.events/release-to=crm/points',
    ],
    [
      'it is released to another',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, { 'warren.events/release-to': 'crm/other' })],
      'annotate shop/loyalty with',
    ],
    [
      'it is paused',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, { ...releasing, 'warren.events/paused': 'true' })],
      'warren.events/paused',
    ],
    [
      'it is on another broker',
      [subscriptionOf(NEW, claiming, { broker: 'other' }), subscriptionOf(OLD, releasing)],
      'on the same one only',
    ],
    [
      'it is a stream',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, releasing, { type: 'stream' })],
      'what is unread of it only its reader knows',
    ],
    [
      'it is no stream, and the new one is',
      [subscriptionOf(NEW, claiming, { type: 'stream' }), subscriptionOf(OLD, releasing)],
      'stream when it has taken over',
    ],
    [
      'it is just being made anew',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, releasing, { status: moving })],
      'being made anew',
    ],
    [
      'it owns nothing',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, releasing, { finalizers: [] })],
      'no queue of its own',
    ],
    [
      'the annotation says nothing',
      [subscriptionOf(NEW, { 'warren.events/claim-from': '../x' })],
      'write namespace/name',
    ],
    ['it is itself', [subscriptionOf(NEW, { 'warren.events/claim-from': NEW })], 'from itself'],
  ])('the new one waits and says why: %s', (_why, resources, message) => {
    expect(standings(...resources)(NEW)).toEqual({
      standing: 'pending',
      message: expect.stringContaining(message),
    });
  });

  test('the old one goes on, and says what is missing', () => {
    expect(standings(subscriptionOf(OLD, releasing))(OLD)).toMatchObject({
      standing: 'offered',
      message: expect.stringContaining('there is no EventSubscription crm/points yet'),
    });
    expect(standings(subscriptionOf(OLD, releasing), subscriptionOf(NEW))(OLD)).toMatchObject({
      standing: 'offered',
      message: expect.stringContaining('annotate crm/points with warren.events/claim-from=shop/loyalty'),
    });
  });

  test('what has begun is given back', () => {
    const of = standings(
      subscriptionOf(OLD, {}, { status: { releasedTo: NEW } }),
      subscriptionOf(NEW, claiming, { status: moving }),
    );
    expect(of(NEW)).toMatchObject({ standing: 'pending', begun: { key: OLD } });
    expect(of(OLD)).toEqual({ standing: 'offered', begun: expect.objectContaining({ key: NEW }) });
  });

  test('what has begun is given back when the new one claims it no more', () => {
    const of = standings(subscriptionOf(OLD, releasing), subscriptionOf(NEW, {}, { status: moving }));
    expect(of(NEW)).toMatchObject({ standing: 'pending', begun: { key: OLD } });
    expect(of(OLD)).toMatchObject({ standing: 'offered', begun: { key: NEW } });
  });

  test.each([
    ['it is released no more', {}, claiming],
    ['it is claimed no more', releasing, {}],
  ])('what has gone too far goes on, and nobody else touches the old queues: %s', (_why, old, claim) => {
    const finishing = { migration: { ...moving.migration, phase: 'Finishing' } };
    const of = standings(
      subscriptionOf(OLD, old, { status: { releasedTo: NEW } }),
      subscriptionOf(NEW, claim, { status: finishing }),
    );
    expect(of(NEW)).toMatchObject({ standing: 'takingOver', old: { key: OLD } });
    expect(of(OLD)).toMatchObject({ standing: 'releasing', to: { key: NEW }, begun: true });
  });

  test('an old one that is gone after it began holds nothing up', () => {
    expect(standings(subscriptionOf(NEW, claiming, { status: moving }))(NEW)).toMatchObject({
      standing: 'takingOver',
    });
  });
});

test('who names nobody is on its own', () => {
  expect(standings(subscriptionOf(OLD))(OLD)).toEqual({ standing: 'own' });
});
