import { expect, test } from '@jest/globals';
import { Places } from './places.ts';

test('so many run at a time, the others in the order of their coming, and one that fails gives its place back', async () => {
  const places = new Places(2);
  const begun: number[] = [];
  const works = [0, 1, 2, 3].map(() => Promise.withResolvers<number>());
  const all = works.map(({ promise }, index) =>
    places
      .take(() => {
        begun.push(index);
        return promise;
      })
      .catch((error: unknown) => String(error)),
  );
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  works[1]?.reject(new Error('no'));
  expect(await all[1]).toBe('Error: no');
  await new Promise((resolve) => setImmediate(resolve));
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of works) resolve(7);
  expect(await Promise.all(all)).toEqual([7, 'Error: no', 7, 7]);
  expect(begun).toEqual([0, 1, 2, 3]);
});

/** One place, taken until it is told to end, and what has begun in it since. */
function taken() {
  const places = new Places(1);
  const first = Promise.withResolvers<undefined>();
  const begun: number[] = [];
  const under = places.take(() => first.promise);
  const join = (n: number, signal?: AbortSignal) => places.take(() => Promise.resolve(begun.push(n)), signal);
  const end = async () => {
    first.resolve(undefined);
    await under;
  };
  return { join, begun, end };
}

test('one that waits and is not wanted any more ends at once and takes nobody the place', async () => {
  const { join, begun, end } = taken();
  const leaving = new AbortController();
  const left = join(1, leaving.signal);
  const other = join(2);
  leaving.abort(new Error('stopped'));
  await expect(left).rejects.toThrow('stopped');
  expect(begun).toEqual([]);
  await end();
  await other;
  await join(3);
  expect(begun).toEqual([2, 3]);
});

test('one that is handed the place and unwanted at the same moment hands it on', async () => {
  const { join, begun, end } = taken();
  const leaving = new AbortController();
  // Aborts after the first has handed its place over, and before the next has begun.
  const left = join(1, leaving.signal);
  const other = join(2);
  const ended = end();
  const stopListening = leaving.signal.removeEventListener.bind(leaving.signal);
  leaving.signal.removeEventListener = (...args: Parameters<typeof stopListening>) => {
    stopListening(...args);
    leaving.abort(new Error('stopped'));
  };
  await expect(left).rejects.toThrow('stopped');
  await Promise.all([ended, other]);
  expect(begun).toEqual([2]);
});

test('one that is unwanted from the start begins nothing and leaves the place free', async () => {
  const places = new Places(1);
  const work = () => Promise.resolve('done');
  await expect(places.take(work, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  expect(await places.take(work)).toBe('done');
});
