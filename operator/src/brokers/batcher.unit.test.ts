import { expect, test } from '@jest/globals';
import { Batcher } from './batcher.ts';

test('those who join together share one run, those who come later share the next', async () => {
  const runs: string[][] = [];
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const batcher = new Batcher<string, number>(async (keys) => {
    runs.push([...keys]);
    if (runs.length === 1) await gate;
    return new Map([...keys].map((key, index) => [key, index]));
  }, 1);
  const first = Promise.all([batcher.join('a'), batcher.join('b'), batcher.join('a')]);
  while (runs.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = Promise.all([batcher.join('c'), batcher.join('a')]);
  open();
  expect(await first).toEqual([0, 1, 0]);
  expect(await second).toEqual([0, 1]);
  expect(runs).toEqual([
    ['a', 'b'],
    ['c', 'a'],
  ]);
});

test('a run that fails fails for those who shared it, and for nobody after', async () => {
  let calls = 0;
  const batcher = new Batcher<string, string>((keys) => {
    calls += 1;
    return calls === 1
      ? Promise.reject(new Error('the broker is gone'))
      : Promise.resolve(new Map([...keys].map((key) => [key, 'done'])));
  }, 1);
  await expect(batcher.join('a')).rejects.toThrow('the broker is gone');
  await expect(batcher.join('a')).resolves.toBe('done');
});
