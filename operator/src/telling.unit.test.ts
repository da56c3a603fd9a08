import { expect, test } from '@jest/globals';
import { ClosedError, ManagementError } from '@warren/rabbitmq';
import { BindingTakenError, ConsumerUserError } from './errors.ts';
import { refusalOf } from './telling.ts';

test('what the broker, a binding or the right to make users stands in the way of is said with its reason', () => {
  const forbidden = new ManagementError('WARREN_BROKER_FORBIDDEN', 'delete queue', 'access refused');
  expect(refusalOf(forbidden)).toEqual({ reason: 'BrokerRefused', message: forbidden.message });
  const failing = new ManagementError('WARREN_BROKER_FAILED', 'delete queue', 'no quorum');
  expect(refusalOf(failing)?.reason).toBe('BrokerUnavailable');
  expect(refusalOf(new BindingTakenError('shop/loyalty-binding'))?.reason).toBe('BindingTaken');
  expect(refusalOf(new ConsumerUserError('default'))?.reason).toBe('NotAdministrator');
});

test.each([
  ['of the API server', Object.assign(new Error('conflict'), { code: 'WARREN_K8S_CONFLICT' })],
  ['of a connection that another one follows', new ClosedError('the management client')],
  ['without a code', new TypeError('a mistake')],
  ['that is none', undefined],
])('an error %s is nothing that a status says', (_what, error) => {
  expect(refusalOf(error)).toBeUndefined();
});
