import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { Connection } from 'mongoose';
import { createDatabaseCheck } from './database.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('a write whose answer is lost does not keep the database down for ever', async () => {
  let writes = 0;
  const updateOne = () => {
    writes += 1;
    return writes === 1 ? new Promise(() => undefined) : Promise.resolve();
  };
  const check = createDatabaseCheck({ db: { collection: () => ({ updateOne }) } } as unknown as Connection);
  const outcomes: string[] = [];
  const ask = async () => {
    const asked = check().then(
      () => 'up',
      () => 'down',
    );
    await jest.advanceTimersByTimeAsync(1000);
    outcomes.push(await asked);
  };
  await ask();
  await ask();
  expect({ outcomes, writes }).toEqual({ outcomes: ['down', 'down'], writes: 1 });
  await jest.advanceTimersByTimeAsync(10_000);
  await ask();
  expect({ outcomes, writes }).toEqual({ outcomes: ['down', 'down', 'up'], writes: 2 });
});
