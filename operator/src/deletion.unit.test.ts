import { expect, jest, test } from '@jest/globals';
import { ClosedError, ManagementError } from '@warren/rabbitmq';
import type { ManagementCode } from '@warren/rabbitmq';
import { Troubles } from './deletion.ts';
import type { PublisherResource } from './resources.ts';

const ABANDON_AFTER_MS = 600_000;

function setup() {
  jest.useFakeTimers();
  return {
    troubles: new Troubles(ABANDON_AFTER_MS),
    pass: (ms: number) => jest.advanceTimersByTime(ms),
    [Symbol.dispose]: () => jest.useRealTimers(),
  };
}

const deleted = (at: string): PublisherResource => ({
  kind: 'EventPublisher',
  metadata: { namespace: 'shop', name: 'user', deletionTimestamp: at },
  spec: { brokerRef: { name: 'default' } },
});
const longAgo = deleted('2026-01-01T00:00:00Z');
const failure = (code: ManagementCode) => new ManagementError(code, 'any call', 'not today');

test('patience begins with the trouble, however old the deletion is, and ends', () => {
  using t = setup();
  expect(t.troubles.patienceOf(longAgo)).toEqual({ isOver: false, leftMs: ABANDON_AFTER_MS });
  t.pass(ABANDON_AFTER_MS - 1_000);
  expect(t.troubles.patienceOf(longAgo)).toEqual({ isOver: false, leftMs: 1_000 });
  t.pass(999);
  expect(t.troubles.patienceOf(longAgo)).toEqual({ isOver: false, leftMs: 100 });
  t.pass(1);
  expect(t.troubles.patienceOf(longAgo).isOver).toBe(true);
});

test('a trouble that is over takes no patience from the next one', () => {
  using t = setup();
  t.troubles.patienceOf(longAgo);
  t.pass(ABANDON_AFTER_MS);
  t.troubles.forget('shop/user');
  expect(t.troubles.patienceOf(longAgo)).toEqual({ isOver: false, leftMs: ABANDON_AFTER_MS });
});

test('a deletion that was called off leaves no trouble to a later one', () => {
  using t = setup();
  t.troubles.patienceOf(longAgo);
  t.pass(ABANDON_AFTER_MS);
  expect(t.troubles.patienceOf(deleted('2026-02-01T00:00:00Z')).isOver).toBe(false);
});

test('a broker that fails is tried again some times before it counts as one that refuses, and its first failure as the beginning', () => {
  using t = setup();
  const failing = failure('WARREN_BROKER_FAILED');
  expect(t.troubles.refused(longAgo, failing, { failures: 0 })).toBeUndefined();
  t.pass(1_000);
  expect(t.troubles.refused(longAgo, failing, { failures: 9 })).toBeUndefined();
  expect(t.troubles.refused(longAgo, failing, { failures: 10 })).toMatchObject({
    reason: 'BrokerUnavailable',
    patience: { leftMs: ABANDON_AFTER_MS - 1_000 },
  });
});

test('what the broker forbids is refused at once; what the API server does, or who changes a Secret, is no trouble of it', () => {
  using t = setup();
  const forbidden = failure('WARREN_BROKER_FORBIDDEN');
  expect(t.troubles.refused(longAgo, forbidden, { failures: 0 })).toMatchObject({
    reason: 'BrokerRefused',
    message: expect.stringContaining('not today'),
    patience: { isOver: false },
  });
  t.troubles.forget('shop/user');
  const conflict = Object.assign(new Error('conflict'), { code: 'WARREN_K8S_CONFLICT' });
  expect(t.troubles.refused(longAgo, conflict, { failures: 20 })).toBeUndefined();
  const closed = new ClosedError('the management client');
  expect(t.troubles.refused(longAgo, closed, { failures: 20 })).toBeUndefined();
  t.pass(ABANDON_AFTER_MS);
  expect(t.troubles.patienceOf(longAgo).isOver).toBe(false);
});
