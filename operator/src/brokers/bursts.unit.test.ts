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
    const bursts = new Bursts({ most: 3, quietMs: 40, longestMs: 100 });
    expect(await bursts.join(() => Promise.resolve(1))).toBe(1);
    expect(await bursts.join(() => Promise.resolve(2))).toBe(2);
  });

  test('waits for more while other work is under way, until there are enough', async () => {
    const bursts = new Bursts({ most: 3, quietMs: 40, longestMs: 100 });
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

  test('waits until no more comes, whether the other work ends or not', async () => {
    const bursts = new Bursts({ most: 9, quietMs: 40, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const all = [bursts.join(first.work), bursts.join(noted(begun, 1))];
    await jest.advanceTimersByTimeAsync(39);
    all.push(bursts.join(noted(begun, 2)));
    await jest.advanceTimersByTimeAsync(39);
    expect(begun).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(begun).toEqual([1, 2]);
    first.end();
    await Promise.all(all);
  });

  test('waits no longer than the longest time, however many come one after the other', async () => {
    const bursts = new Bursts({ most: 9, quietMs: 40, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const all = [bursts.join(first.work)];
    for (const n of [1, 2, 3, 4]) {
      all.push(bursts.join(noted(begun, n)));
      await jest.advanceTimersByTimeAsync(25);
      expect(begun).toEqual(n < 4 ? [] : [1, 2, 3, 4]);
    }
    first.end();
    await Promise.all(all);
  });

  test('that fails fails for itself alone', async () => {
    const bursts = new Bursts({ most: 2, quietMs: 40, longestMs: 100 });
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

  test('that nobody wants any more ends at once, never begins, and is not counted to a burst', async () => {
    const bursts = new Bursts({ most: 2, quietMs: 40, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const under = bursts.join(first.work);
    const leaving = new AbortController();
    const left = bursts.join(noted(begun, 1), leaving.signal);
    leaving.abort(new Error('stopped'));
    await expect(left).rejects.toThrow('stopped');
    const others = [bursts.join(noted(begun, 2))];
    await settle();
    expect(begun).toEqual([]);
    others.push(bursts.join(noted(begun, 3)));
    await Promise.all(others);
    expect(begun).toEqual([2, 3]);
    first.end();
    await under;
  });

  test('leaves no timer behind when the last one that waits leaves', async () => {
    const bursts = new Bursts({ most: 3, quietMs: 40, longestMs: 100 });
    const first = endless();
    const under = bursts.join(first.work);
    const [one, two] = [new AbortController(), new AbortController()];
    const all = [one, two].map(({ signal }) => bursts.join(() => Promise.resolve(), signal));
    const left = Promise.allSettled(all);
    one.abort();
    await settle();
    expect(jest.getTimerCount()).toBe(2);
    two.abort();
    await left;
    expect(jest.getTimerCount()).toBe(0);
    first.end();
    await under;
  });

  test('does not begin when it is let in and unwanted at the same moment, or unwanted from the start', async () => {
    const bursts = new Bursts({ most: 2, quietMs: 40, longestMs: 100 });
    const first = endless();
    const begun: number[] = [];
    const under = bursts.join(first.work);
    const leaving = new AbortController();
    const left = bursts.join(noted(begun, 1), leaving.signal);
    const other = bursts.join(noted(begun, 2));
    leaving.abort(new Error('stopped'));
    await expect(left).rejects.toThrow('stopped');
    await other;
    await expect(bursts.join(noted(begun, 3), leaving.signal)).rejects.toThrow('stopped');
    expect(begun).toEqual([2]);
    first.end();
    await under;
  });
});
