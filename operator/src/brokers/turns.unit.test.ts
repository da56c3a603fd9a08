import { expect, test } from '@jest/globals';
import { Turns } from './turns.ts';

test('so many run at a time, the others in the order of their coming, and one that fails gives its place back', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const works = [0, 1, 2, 3].map(() => Promise.withResolvers<number>());
  const all = works.map(({ promise }, index) =>
    turns
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
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of works) resolve(7);
  expect(await Promise.all(all)).toEqual([7, 'Error: no', 7, 7]);
  expect(begun).toEqual([0, 1, 2, 3]);
});
