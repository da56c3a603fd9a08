import { describe, expect, test } from '@jest/globals';
import { OneByOne } from './one-by-one.ts';

describe('work by key', () => {
  test('runs in order, one at a time, for one key, and side by side for two', async () => {
    const queue = new OneByOne();
    const log: string[] = [];
    const releases: (() => void)[] = [];
    const work = (key: string, name: string) =>
      queue.run(key, async () => {
        log.push(`${name} begins`);
        await new Promise<void>((resolve) => releases.push(resolve));
        log.push(`${name} ends`);
        return name;
      });
    const all = Promise.all([work('a', 'a1'), work('a', 'a2'), work('b', 'b1')]);
    await Promise.resolve();
    expect(log).toEqual(['a1 begins', 'b1 begins']);
    while (log.length < 6) {
      releases.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await all).toEqual(['a1', 'a2', 'b1']);
    expect(log.indexOf('a1 ends')).toBeLessThan(log.indexOf('a2 begins'));
  });

  test('goes on after work that failed, which only its caller hears of', async () => {
    const queue = new OneByOne();
    const failing = queue.run('a', () => Promise.reject(new Error('no')));
    const next = queue.run('a', () => Promise.resolve('yes'));
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  test('keeps nothing of a key whose work is done', async () => {
    const queue = new OneByOne();
    await Promise.all([queue.run('a', () => Promise.resolve()), queue.run('a', () => Promise.resolve())]);
    expect(queue.size).toBe(0);
  });
});
