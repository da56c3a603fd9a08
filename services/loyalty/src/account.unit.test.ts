import { describe, expect, test } from '@jest/globals';
import { PointsEarned } from '@warren/contracts';
import { given } from '@warren/service/testing';
import { accountDecider, pointsFor } from './account.ts';

const earn = { userId: 'user-1', orderId: 'order-1', total: 29.99 };
const earned = PointsEarned.create({ userId: 'user-1', orderId: 'order-1', points: 29 });

describe('an account', () => {
  test('earns one point for each whole unit of the currency', () => {
    given(accountDecider).when(earn).then(earned);
    expect([0.99, 1, 1.1, 100.05, 0.29 * 100].map(pointsFor)).toEqual([0, 1, 1, 100, 29]);
  });

  test('earns nothing for less than one', () => {
    given(accountDecider)
      .when({ ...earn, total: 0.99 })
      .then();
  });

  test('earns once for each order', () => {
    given(accountDecider, earned).when(earn).then();
    expect(
      given(accountDecider, earned)
        .when({ ...earn, orderId: 'order-2', total: 1 })
        .state().points,
    ).toBe(30);
  });
});
