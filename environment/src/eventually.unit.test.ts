import { expect, test } from '@jest/globals';
import { eventually } from './eventually.ts';

test('gives back the first truthy value', async () => {
  const values = [undefined, 0, '', 'there'];
  expect(await eventually(() => values.shift(), { intervalMs: 1 })).toBe('there');
});

test('goes on after errors', async () => {
  let tries = 0;
  const probe = async () => {
    await Promise.resolve();
    tries += 1;
    if (tries < 3) throw new Error('not yet');
    return tries;
  };
  expect(await eventually(probe, { intervalMs: 1 })).toBe(3);
});

test('gives up with the last error as its cause', async () => {
  const error = new Error('the queue is missing');
  const waiting = eventually(() => Promise.reject(error), { timeoutMs: 5, intervalMs: 1 });
  await expect(waiting).rejects.toMatchObject({
    cause: error,
    message: expect.stringContaining('queue is missing'),
  });
});

test('gives up with the last value, and says what a probe without one must do', async () => {
  const waiting = (value: unknown) => eventually(() => value, { timeoutMs: 5, intervalMs: 1 });
  await expect(waiting(false)).rejects.toThrow('last value: false');
  await expect(waiting(undefined)).rejects.toThrow('a probe without a value gives back true');
});
