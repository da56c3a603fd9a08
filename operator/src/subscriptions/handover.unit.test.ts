import { describe, expect, test } from '@jest/globals';
import type { SubscriptionResource } from '../resources.ts';
import { subscriptionOf } from '../testing/takeover-resources.ts';
import { standingOf } from './handover.ts';
import { othersIn } from './others.ts';

const OLD = 'shop/loyalty';
const NEW = 'crm/points';
const THIRD = 'crm/other';
const releasingTo = (key: string) => ({ 'warren.events/release-to': key });
const releasing = releasingTo(NEW);
const releasingStatus = { status: { releasedTo: NEW } };
const claiming = { 'warren.events/claim-from': OLD };

function standings(...resources: SubscriptionResource[]) {
  const all = new Map(resources.map((one) => [`${one.metadata.namespace ?? ''}/${one.metadata.name}`, one]));
  const others = othersIn({
    get: (key) => all.get(key),
    list: () => [...all.values()],
    onChange: () => undefined,
  });
  return (key: string) => {
    const resource = all.get(key);
    if (resource === undefined) throw new Error(`no ${key}`);
    return standingOf(resource, others);
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
    const both = (key: string) => ({ 'warren.events/claim-from': key, ...releasingTo(key) });
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
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, releasingTo(THIRD))],
      'annotate shop/loyalty with',
    ],
    [
      'it is paused',
      [subscriptionOf(NEW, claiming), subscriptionOf(OLD, { ...releasing, 'warren.events/paused': 'true' })],
      'warren.events/paused',
    ],
    [
      'the new one is paused',
      [subscriptionOf(NEW, { ...claiming, 'warren.events/paused': 'true' }), subscriptionOf(OLD, releasing)],
      'crm/points has the annotation warren.events/paused',
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
    [
      'the new one has its own events',
      [subscriptionOf(NEW, claiming, { status: { appliedGeneration: 1 } }), subscriptionOf(OLD, releasing)],
      'crm/points takes its events already',
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

  test.each(['warren.events/paused', 'warren.events/unmanaged'])(
    'the old one works on while the new one has not begun and may not: %s',
    (annotation) => {
      const claimingNot = { ...claiming, [annotation]: 'true' };
      const idle = standings(subscriptionOf(OLD, releasing), subscriptionOf(NEW, claimingNot));
      expect(idle(OLD)).toMatchObject({
        standing: 'offered',
        message: expect.stringContaining(`crm/points has the annotation ${annotation}`),
      });
      const begun = standings(
        subscriptionOf(OLD, releasing),
        subscriptionOf(NEW, claimingNot, { status: moving }),
      );
      expect(begun(OLD)).toMatchObject({ standing: 'releasing', begun: true });
    },
  );

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
    ['it is released no more', subscriptionOf(OLD, {}, releasingStatus), claiming],
    ['it is claimed no more', subscriptionOf(OLD, releasing, releasingStatus), {}],
    ['it is released to another', subscriptionOf(OLD, releasingTo(THIRD), releasingStatus), claiming],
    [
      'it is released to nobody that there is',
      subscriptionOf(OLD, releasingTo('?'), releasingStatus),
      claiming,
    ],
    ['it was made anew', subscriptionOf(OLD, {}, { finalizers: [] }), claiming],
  ])('what has gone too far goes on, and nobody else touches the old queues: %s', (_why, old, claim) => {
    const finishing = { migration: { ...moving.migration, phase: 'Finishing' } };
    const of = standings(old, subscriptionOf(NEW, claim, { status: finishing }));
    expect(of(NEW)).toMatchObject({ standing: 'takingOver', old: { key: OLD } });
    expect(of(OLD)).toMatchObject({ standing: 'releasing', to: { key: NEW }, begun: true });
  });

  test('what has begun is given back first when it is released to another', () => {
    const of = standings(
      subscriptionOf(OLD, releasingTo(THIRD), releasingStatus),
      subscriptionOf(NEW, claiming, { status: moving }),
      subscriptionOf(THIRD, claiming),
    );
    expect(of(NEW)).toMatchObject({ standing: 'pending', begun: { key: OLD } });
    expect(of(OLD)).toEqual({
      standing: 'offered',
      begun: expect.objectContaining({ key: NEW }),
      message: `${NEW} has begun to take it over, and gives back first`,
    });
    expect(of(THIRD)).toEqual({
      standing: 'pending',
      message: `${NEW} is taking over from ${OLD}: this begins when that is over`,
    });
  });

  test.each([
    ['it claims it', claiming],
    ['it claims it no more', {}],
  ])('an old one that is gone after it began holds nothing up: %s', (_what, claim) => {
    expect(standings(subscriptionOf(NEW, claim, { status: moving }))(NEW)).toMatchObject({
      standing: 'takingOver',
    });
  });
});

test('who names nobody is on its own', () => {
  expect(standings(subscriptionOf(OLD))(OLD)).toEqual({ standing: 'own' });
});
