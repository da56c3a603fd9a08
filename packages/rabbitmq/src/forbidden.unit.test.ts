import { expect, test } from '@jest/globals';
import { Forbidden } from './forbidden.ts';

const reason = new Error('ACCESS_REFUSED');

test('a refused key is remembered, and no other; a refused exchange with every key', () => {
  const forbidden = new Forbidden(30_000);
  expect(forbidden.why('events', 'order.paid')).toBeUndefined();
  forbidden.remember({ exchange: 'events', routingKey: 'order.paid' }, reason);
  forbidden.remember({ exchange: 'failed_events' }, reason);
  expect(forbidden.why('events', 'order.paid')).toBe(reason);
  expect(forbidden.why('failed_events', 'shop.order')).toBe(reason);
  expect(forbidden.why('events', 'order.placed')).toBeUndefined();
  expect(forbidden.why('', 'order.paid')).toBeUndefined();
});

test('it is forgotten after its time, and when there are too many', () => {
  const brief = new Forbidden(0);
  brief.remember({ exchange: 'events', routingKey: 'order.paid' }, reason);
  expect(brief.why('events', 'order.paid')).toBeUndefined();
  const many = new Forbidden(30_000);
  for (let index = 0; index < 1_001; index += 1)
    many.remember({ exchange: 'events', routingKey: `order.paid${index}` }, reason);
  expect(many.why('events', 'order.paid0')).toBeUndefined();
  expect(many.why('events', 'order.paid1')).toBe(reason);
});
