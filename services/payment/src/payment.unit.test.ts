import { describe, expect, test } from '@jest/globals';
import { PaymentApproved, PaymentDeclined } from '@warren/contracts';
import { given } from '@warren/service/testing';
import { paymentDecider } from './payment.ts';

const charge = { orderId: 'order-1', userId: 'user-1', amount: 20.01, limit: 100 };
const data = { paymentId: 'payment-order-1', orderId: 'order-1', userId: 'user-1', amount: 20.01 };

describe('a payment', () => {
  test('is approved up to the limit, the limit itself included', () => {
    given(paymentDecider).when(charge).then(PaymentApproved.create(data));
    given(paymentDecider)
      .when({ ...charge, limit: 20.01 })
      .then(PaymentApproved.create(data));
  });

  test('is declined over the limit, by a cent too', () => {
    given(paymentDecider)
      .when({ ...charge, limit: 20 })
      .then(PaymentDeclined.create({ ...data, reason: 'over the limit of 20' }));
  });

  test('is decided once, even when the limit has changed since', () => {
    given(paymentDecider, PaymentApproved.create(data))
      .when({ ...charge, limit: 1 })
      .then();
    given(paymentDecider, PaymentDeclined.create({ ...data, reason: 'x' }))
      .when(charge)
      .then();
  });

  test('knows how it was decided', () => {
    expect(given(paymentDecider).when(charge).state()).toMatchObject({
      id: 'payment-order-1',
      status: 'approved',
    });
    expect(
      given(paymentDecider)
        .when({ ...charge, limit: 0 })
        .state(),
    ).toMatchObject({ status: 'declined' });
  });
});
