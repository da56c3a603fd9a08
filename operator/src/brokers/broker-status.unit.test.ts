import { expect, test } from '@jest/globals';
import { conditionOf } from '../conditions.ts';
import type { BrokerResource, BrokerStatus } from '../resources.ts';
import { brokerStatusOf, brokerStoriesOf } from './broker-status.ts';
import type { BrokerFindings } from './broker-status.ts';

const connection = { version: '4.3.6', capabilities: { delayedRetry: true, deliveryLimitByDefault: true } };
const up: BrokerFindings = { connection, alarms: [], subscriptions: 2, watching: { state: 'listening' } };
const at = (status?: BrokerStatus): BrokerResource => ({
  metadata: { name: 'default', generation: 1 },
  spec: { secretRef: { namespace: 'a', name: 'b' } },
  ...(status === undefined ? {} : { status }),
});
const after = (findings: BrokerFindings, before?: BrokerStatus) =>
  brokerStatusOf(at(before), findings, '2026-01-01T00:00:00.000Z');
const told = (before: BrokerStatus | undefined, now: BrokerStatus) =>
  brokerStoriesOf(before, now).map(({ type, reason }) => `${type} ${reason}`);

test('equal findings give an equal status, and nothing to tell', () => {
  const first = after(up);
  expect(first).toMatchObject({ version: '4.3.6', subscriptions: 2 });
  expect(first.alarms).toBeUndefined();
  expect(told(undefined, first)).toEqual(['Normal Ready']);
  const second = after(up, first);
  expect(second).toEqual(first);
  expect(told(first, second)).toEqual([]);
});

test('an alarm is in the status and told when it begins and when it ends, not in between', () => {
  const calm = after(up);
  const blocked = after({ ...up, alarms: ['memory on rabbit@one'] }, calm);
  expect(blocked.alarms).toEqual(['memory on rabbit@one']);
  expect(conditionOf(blocked.conditions, 'Ready')?.status).toBe('True');
  expect(told(calm, blocked)).toEqual(['Warning PublishersBlocked']);
  const worse = after({ ...up, alarms: ['disk on rabbit@one', 'memory on rabbit@one'] }, blocked);
  expect(told(blocked, worse)).toEqual([]);
  const over = after(up, worse);
  expect(over.alarms).toBeUndefined();
  expect(told(worse, over)).toEqual(['Normal PublishersUnblocked']);
});

test('an outage says one thing, keeps the version and the users, and nothing that nobody knows', () => {
  const calm = after(up);
  const down = { reason: 'Unreachable', message: 'connect ECONNREFUSED' };
  const out = after({ down, connection, subscriptions: 2, watching: { state: 'listening' } }, calm);
  expect(out).toMatchObject({ version: '4.3.6', subscriptions: 2 });
  expect(out.conditions?.map(({ type, status }) => `${type} ${status}`)).toEqual([
    'PublishersBlocked Unknown',
    'Reachable False',
    'Ready False',
  ]);
  expect(told(calm, out)).toEqual(['Warning Unreachable']);
});

test('until it is known whether the broker tells of changes, a restarted operator says what was said before', () => {
  const calm = after(up);
  const connecting = { state: 'not listening', reason: 'Connecting', message: '' } as const;
  expect(after({ ...up, watching: connecting }, calm)).toEqual(calm);
  const forbidden = { state: 'not listening', reason: 'Forbidden', message: 'may not' } as const;
  const without = after({ ...up, watching: forbidden }, calm);
  expect(told(calm, without)).toEqual(['Warning DriftEventsForbidden']);
  expect(told(without, after({ ...up, watching: forbidden }, without))).toEqual([]);
});
