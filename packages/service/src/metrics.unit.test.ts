import { expect, test } from '@jest/globals';
import { createMetrics } from './metrics.ts';

test('the age of the oldest commit goes on while the outbox cannot be asked; the backlog is not a number', async () => {
  const metrics = createMetrics('shop');
  let backlog: { count: number; oldestAgeMs: number } | undefined = { count: 3, oldestAgeMs: 5000 };
  metrics.watchOutbox(() =>
    backlog === undefined ? Promise.reject(new Error('the database is away')) : Promise.resolve(backlog),
  );
  const read = async () => {
    const { body } = await metrics.page();
    const value = (name: string) => Number(new RegExp(`^${name}\\{.*\\} (.*)$`, 'm').exec(body)?.[1]);
    return { count: value('warren_outbox_backlog'), age: value('warren_outbox_oldest_age_seconds') };
  };
  expect(await read()).toEqual({ count: 3, age: 5 });
  backlog = undefined;
  const unanswered = await read();
  expect(unanswered.count).toBeNaN();
  expect(unanswered.age).toBeGreaterThan(5);
  backlog = { count: 0, oldestAgeMs: 0 };
  expect(await read()).toEqual({ count: 0, age: 0 });
  backlog = undefined;
  expect(await read()).toEqual({ count: Number.NaN, age: Number.NaN });
});
