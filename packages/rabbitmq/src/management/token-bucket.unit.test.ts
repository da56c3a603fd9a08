import { expect, test } from '@jest/globals';
import { TokenBucket } from './token-bucket.ts';

/** A clock that moves by hand; waits are noted and end at once. */
function bucketOf(perSecond: number) {
  const clock = { now: 0 };
  const waits: number[] = [];
  const bucket = new TokenBucket({
    perSecond,
    now: () => clock.now,
    wait: (ms, signal) => {
      signal?.throwIfAborted();
      waits.push(Math.round(ms));
      return Promise.resolve();
    },
  });
  return { bucket, clock, waits };
}

test('a second of calls goes at once, then each waits longer than the one before', async () => {
  const { bucket, waits } = bucketOf(10);
  for (let call = 0; call < 13; call += 1) await bucket.take();
  expect(waits).toEqual([100, 200, 300]);
});

test('it fills with time, and not beyond a second', async () => {
  const { bucket, clock, waits } = bucketOf(10);
  for (let call = 0; call < 10; call += 1) await bucket.take();
  clock.now = 250;
  for (let call = 0; call < 3; call += 1) await bucket.take();
  expect(waits).toEqual([50]);
  clock.now = 1_000_000;
  for (let call = 0; call < 11; call += 1) await bucket.take();
  expect(waits).toEqual([50, 100]);
});

test('one call a second is possible', async () => {
  const { bucket, waits } = bucketOf(1);
  await bucket.take();
  await bucket.take();
  expect(waits).toEqual([1_000]);
});

test('who does not want any more rejects, and takes no turn from the others', async () => {
  const bucket = new TokenBucket({ perSecond: 1, now: () => 0 });
  await bucket.take();
  const ending = new AbortController();
  const waiting = bucket.take(ending.signal);
  ending.abort(new Error('not wanted'));
  await expect(waiting).rejects.toThrow('not wanted');
  await expect(bucket.take(AbortSignal.abort(new Error('never')))).rejects.toThrow('never');
  const { bucket: fresh, waits } = bucketOf(1);
  await fresh.take();
  await expect(fresh.take(AbortSignal.abort(new Error('never')))).rejects.toThrow('never');
  await fresh.take();
  expect(waits).toEqual([1_000]);
});
