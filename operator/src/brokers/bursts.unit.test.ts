import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Bursts } from './bursts.ts';

function endless(): { work: () => Promise<unknown>; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  return { work: () => promise, end: () => resolve(undefined) };
}

function noted(begun: number[], n: number): () => Promise<unknown> {
  return () => Promise.resolve(begun.push(n));
}

const settle = () => jest.advanceTimersByTimeAsync(0);

describe('work in bursts', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test('begins at once when it comes alone, one after the other too', async () => {
    const bursts = new Bursts({ most: 3, longestMs: 100 });
    expect(await bursts.join(() => Promise.resolve(1))).toBe(1);
    expect(await bursts.join(() => Promise.resolve(2))).toBe(2);
  });

  test('waits for more while other work is under way, until there are enough', async () => {
    const bursts = new Bursts({ most: 3, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const all = [bursts.join(first.work)];
    for (const n of [1, 2]) all.push(bursts.join(noted(begun, n)));
    await settle();
    expect(begun).toEqual([]);
    all.push(bursts.join(noted(begun, 3)));
    await settle();
    expect(begun).toEqual([1, 2, 3]);
    first.end();
    await Promise.all(all);
  });

  test('waits no longer than the longest time, whether the other work ends or not', async () => {
    const bursts = new Bursts({ most: 3, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const all = [bursts.join(first.work), bursts.join(noted(begun, 1))];
    await jest.advanceTimersByTimeAsync(99);
    expect(begun).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(begun).toEqual([1]);
    first.end();
    await Promise.all(all);
  });

  test('that fails fails for itself alone', async () => {
    const bursts = new Bursts({ most: 2, longestMs: 100 });
    const first = endless();
    const under = bursts.join(first.work);
    const failing = bursts.join(() => Promise.reject(new Error('no')));
    const fine = bursts.join(() => Promise.resolve('fine'));
    await expect(failing).rejects.toThrow('no');
    expect(await fine).toBe('fine');
    first.end();
    await under;
    expect(await bursts.join(() => Promise.resolve('at once'))).toBe('at once');
  });
});
