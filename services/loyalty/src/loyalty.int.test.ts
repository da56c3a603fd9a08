import { describe, expect, test } from '@jest/globals';
import { OrderCompleted } from '@warren/contracts';
import type { Event } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { asEvent, ask, openWorkbench } from '@warren/service/testing';
import { loyaltyService } from './index.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

const completed = (orderId: string, total: number, userId = 'user-1', id = `completed-${orderId}`): Event =>
  asEvent(OrderCompleted.create({ orderId, userId, total, paymentId: 'p' }), 0, { id, aggregateId: orderId });
const points = async (url: string, userId: string) =>
  (await ask<{ points: number }>(`${url}/loyalty/${userId}`)).body.points;

describe('the loyalty service', () => {
  test('gives a point for each whole unit, once for each order, to each user its own', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('loyalty', ['order.completed']);
    const { url } = await ground.start(loyaltyService);
    expect(await points(url, 'user-1')).toBe(0);
    await subscription.publish(
      completed('o1', 29.99),
      completed('o1', 29.99),
      completed('o1', 29.99, 'user-1', 'completed-again'),
      completed('o2', 10),
      completed('o3', 0.5),
      completed('o4', 7, 'user-2'),
    );
    await eventually(async () => (await points(url, 'user-1')) === 39 && (await points(url, 'user-2')) === 7);
    await eventually(() => ground.spy.events('PointsEarned').length === 3);
    await eventually(async () => (await subscription.depth()) === 0);
    expect(await points(url, 'user-1')).toBe(39);
    expect(await subscription.deadLetter()).toBeUndefined();
  });

  test('counts every order of one user, though many come at once', async () => {
    await using ground = await bench();
    const subscription = await ground.subscribe('loyalty', ['order.completed'], {
      prefetch: 20,
      attempts: 10,
    });
    const { url } = await ground.start(loyaltyService);
    await subscription.publish(...Array.from({ length: 40 }, (_, index) => completed(`o${index}`, 1)));
    await eventually(async () => (await points(url, 'user-1')) === 40);
    expect(await subscription.deadLetter()).toBeUndefined();
  });
});
