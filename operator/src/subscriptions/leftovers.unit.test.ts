import { expect, test } from '@jest/globals';
import { describeLeftovers } from './leftovers.ts';

const say = (...queues: string[]) =>
  describeLeftovers(
    queues.map((queue) => ({ queue })),
    { deadLetterQueue: 'shop.loyalty.dead' },
  );

test('messages, retries and dead letters are told apart', () => {
  expect(say('shop.loyalty')).toBe('messages in shop.loyalty');
  expect(say('shop.loyalty.wait.1000')).toBe('retries that wait in shop.loyalty.wait.1000');
  expect(say('shop.loyalty', 'shop.loyalty.wait.1000', 'shop.loyalty.wait.2000', 'shop.loyalty.dead')).toBe(
    'messages in shop.loyalty, retries that wait in shop.loyalty.wait.1000 and shop.loyalty.wait.2000, ' +
      'dead letters in shop.loyalty.dead',
  );
});

test('a long list is cut', () => {
  const waits = [1, 2, 3, 4, 5].map((delay) => `shop.loyalty.wait.${delay}000`);
  expect(say(...waits)).toMatch(/^retries that wait in \S+, \S+, \S+ and 2 more$/);
});
