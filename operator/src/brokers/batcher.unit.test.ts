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

/** Runs that end when they are told to, with what they were given. */
function held() {
  const runs: { keys: string[]; signal: AbortSignal; end: () => void }[] = [];
  const batcher = new Batcher<string, string>(
    (keys, signal) =>
      new Promise((resolve) => {
        const end = () => resolve(new Map([...keys].map((key) => [key, 'done'])));
        runs.push({ keys: [...keys], signal, end });
      }),
    1,
  );
  const begun = async (count: number) => {
    while (runs.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  return { runs, batcher, begun };
}

test('one that is not wanted any more waits no longer, and the others get what they share', async () => {
  const { runs, batcher, begun } = held();
  const leaving = new AbortController();
  const [left, other] = [batcher.join('a', leaving.signal), batcher.join('b')];
  await begun(1);
  leaving.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  expect(runs).toMatchObject([{ keys: ['a', 'b'], signal: { aborted: false } }]);
  runs[0]?.end();
  expect(await other).toBe('done');
});

test('a run learns that the last one that waited for it has left, and the next one waits for its end', async () => {
  const { runs, batcher, begun } = held();
  const leaving = new AbortController();
  const left = ['a', 'b'].map((key) => batcher.join(key, leaving.signal));
  await begun(1);
  const next = batcher.join('c');
  leaving.abort(new Error('stopped'));
  await Promise.all(left.map((each) => expect(each).rejects.toThrow('stopped')));
  expect(runs).toMatchObject([{ signal: { aborted: true } }]);
  runs[0]?.end();
  await begun(2);
  runs[1]?.end();
  expect(await next).toBe('done');
  expect(runs[1]?.keys).toEqual(['c']);
});

test('what nobody wants any more when a run begins is no part of it', async () => {
  const { runs, batcher, begun } = held();
  const leaving = new AbortController();
  const left = batcher.join('a', leaving.signal);
  leaving.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  const other = batcher.join('b');
  await begun(1);
  expect(runs).toMatchObject([{ keys: ['b'], signal: { aborted: false } }]);
  runs[0]?.end();
  expect(await other).toBe('done');
});
