import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PermanentError } from './errors.ts';
import {
  attemptOf,
  deadLetterHeaders,
  fateOf,
  headerText,
  republished,
  retryHeaders,
  slimmed,
} from './failure.ts';
import type { Delivery } from './message.ts';
import type { ConsumerSettings } from '@warren/topology';

const broker: ConsumerSettings = {
  subscription: 'shop/loyalty',
  queue: 'shop.loyalty',
  prefetch: 10,
  attempts: 3,
  deadLetter: { exchange: 'failed_events', routingKey: 'shop.loyalty' },
  retry: { mode: 'broker' },
  strict: false,
};
const ladder: ConsumerSettings = {
  ...broker,
  attempts: 5,
  retry: {
    mode: 'ladder',
    waits: [
      { queue: 'shop.loyalty.wait.100', delayMs: 100 },
      { queue: 'shop.loyalty.wait.200', delayMs: 200 },
    ],
  },
};
const delivery: Delivery = {
  content: Buffer.from('{}'),
  properties: { messageId: 'm1', headers: { traceparent: '00-a-b-01' } },
  routingKey: 'order.placed',
  exchange: 'events',
  queue: 'shop.loyalty',
  attempt: 2,
  redelivered: true,
};

describe('what a failed delivery becomes', () => {
  const oops = new Error('oops');

  test('the broker delays it until the last attempt, which is a dead letter', () => {
    expect([1, 2, 3, 4].map((attempt) => fateOf(broker, attempt, oops).kind)).toEqual([
      'reject',
      'reject',
      'dead-letter',
      'dead-letter',
    ]);
  });

  test('the ladder takes one wait queue a failure, and stays on the last', () => {
    expect([1, 2, 3, 4, 5].map((attempt) => fateOf(ladder, attempt, oops))).toEqual([
      { kind: 'wait', queue: 'shop.loyalty.wait.100' },
      { kind: 'wait', queue: 'shop.loyalty.wait.200' },
      { kind: 'wait', queue: 'shop.loyalty.wait.200' },
      { kind: 'wait', queue: 'shop.loyalty.wait.200' },
      { kind: 'dead-letter' },
    ]);
  });

  test('a permanent failure is a dead letter at once, by class, by flag or by code', () => {
    for (const error of [
      new PermanentError('no such thing'),
      Object.assign(new Error(), { permanent: true }),
      Object.assign(new Error(), { code: 'WARREN_PERMANENT' }),
    ]) {
      expect(fateOf(broker, 1, error).kind).toBe('dead-letter');
    }
  });

  test('a thrown nothing is a failure like any other', () => {
    for (const thrown of [undefined, null, 'text', 7]) expect(fateOf(broker, 1, thrown).kind).toBe('reject');
  });
});

describe('the number of the attempt', () => {
  test('is the count of the broker plus one, or our own header on the ladder', () => {
    expect(attemptOf(broker, undefined)).toBe(1);
    expect(attemptOf(broker, { 'x-delivery-count': 2 })).toBe(3);
    expect(attemptOf(ladder, { 'warren-attempt': 4, 'x-delivery-count': 9 })).toBe(4);
  });

  test('is 1 when the header is nonsense', () => {
    for (const nonsense of ['4', -1, NaN, 1.5, {}]) {
      expect(attemptOf(broker, { 'x-delivery-count': nonsense })).toBe(1);
      expect(attemptOf(ladder, { 'warren-attempt': nonsense })).toBe(1);
    }
  });
});

describe('headers of a dead letter', () => {
  const at = new Date('2026-01-02T03:04:05.678Z');

  test('tell why, how often, where and when', () => {
    const error = Object.assign(new Error('card declined'), { code: 'CARD' });
    expect(deadLetterHeaders({ settings: broker, delivery, error, at })).toEqual({
      'warren-failure-reason': 'card declined',
      'warren-failure-code': 'CARD',
      'warren-failure-attempts': 2,
      'warren-failure-subscription': 'shop/loyalty',
      'warren-failed-at': '2026-01-02T03:04:05.678Z',
      'warren-original-routing-key': 'order.placed',
      'warren-original-exchange': 'events',
    });
  });

  test('are made of whatever was thrown', () => {
    for (const error of [undefined, null, { a: 1 }, 'x', Symbol('s'), () => 1]) {
      const headers = deadLetterHeaders({ settings: broker, delivery, error, at });
      expect(typeof headers['warren-failure-reason']).toBe('string');
    }
  });

  test('a retry on the ladder carries the next attempt and where it came from', () => {
    expect(retryHeaders({ settings: ladder, delivery, error: new Error(), at })).toEqual({
      'warren-attempt': 3,
      'warren-original-routing-key': 'order.placed',
      'warren-original-exchange': 'events',
    });
  });

  test('any text becomes valid UTF-8 of bounded size', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.integer({ min: 8, max: 200 }),
        (text, bytes) => {
          const result = headerText(text, bytes);
          expect(Buffer.byteLength(result)).toBeLessThanOrEqual(bytes);
          expect(result.isWellFormed()).toBe(true);
          expect(Buffer.from(result).toString()).toBe(result);
          // eslint-disable-next-line no-control-regex
          expect(result).not.toMatch(/[\u0000-\u0008\u007f]/);
        },
      ),
    );
    expect(headerText('\ud800 half', 100)).toBe('\ufffd half');
    expect(headerText('ää', 5)).toBe('ää');
    expect(headerText('äääääää', 8)).toBe('ää…');
  });
});

describe('publishing a delivery again', () => {
  test('keeps what is the message and leaves out what the broker would act on', () => {
    const headers = { 'x-death': [], 'x-delivery-count': 2, CC: ['spam'], 'warren-attempt': 1, own: 'kept' };
    const properties = { messageId: 'm', expiration: '10', type: 'T', userId: 'someone', headers };
    const again = republished(properties, { 'warren-attempt': 2 });
    expect(again.headers).toEqual({ own: 'kept', 'warren-attempt': 2 });
    expect(again).toMatchObject({ messageId: 'm', type: 'T' });
    expect(again).not.toHaveProperty('expiration');
    expect(again).not.toHaveProperty('userId');
  });

  test('drops headers that can not be carried, and says how many; its own stay', () => {
    const headers = {
      big: 'x'.repeat(5_000),
      odd: { nested: { a: 1 } },
      small: 'kept',
      count: 3,
      'warren-failure-reason': 'r'.repeat(2_000),
    };
    expect(slimmed({ headers }).headers).toEqual({
      small: 'kept',
      count: 3,
      'warren-failure-reason': 'r'.repeat(2_000),
      'warren-headers-dropped': 2,
    });
  });
});
