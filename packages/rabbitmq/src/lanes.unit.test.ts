import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Lanes, lanesOf } from './lanes.ts';
import type { ConsumerSettings } from '@warren/topology';

const settings = (partitions: number | undefined, prefetch = 50): ConsumerSettings => ({
  subscription: 'shop/loyalty',
  queue: 'shop.loyalty',
  prefetch,
  attempts: 3,
  deadLetter: { exchange: 'failed_events', routingKey: 'shop.loyalty' },
  retry: { mode: 'in-place', delays: [1] },
  strict: false,
  ...(partitions === undefined
    ? {}
    : { partitions: Array.from({ length: partitions }, (_, index) => `shop.loyalty.partition.${index}`) }),
});

test('one queue is one lane, by its own settings', () => {
  expect(lanesOf(settings(undefined))).toEqual([{ settings: settings(undefined) }]);
});

test('each partition is a lane in order, with its share of the prefetch and a priority of its own', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 2_000 }), (count, prefetch) => {
      const lanes = lanesOf(settings(count, prefetch));
      expect(lanes.map((lane) => lane.settings.queue)).toEqual(settings(count).partitions);
      expect(lanes.every((lane) => lane.settings.strict && lane.settings.partitions === undefined)).toBe(
        true,
      );
      const inHand = lanes.reduce((sum, lane) => sum + lane.settings.prefetch, 0);
      expect(inHand).toBeGreaterThanOrEqual(prefetch);
      expect(inHand).toBeLessThan(prefetch + count);
      expect(lanes.map(({ priority }) => priority ?? 0).sort((a, b) => a - b)).toEqual(
        Array.from({ length: count }, (_, index) => index + 1),
      );
    }),
  );
});

test('replicas that know nothing of each other share the partitions out about evenly', () => {
  // A generator of its own, so that it comes to the same each time.
  let state = 42;
  const random = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
  const replicas = 3;
  const rounds = 500;
  const least: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const all = Array.from({ length: replicas }, () => lanesOf(settings(12), random));
    const won = Array.from({ length: replicas }, () => 0);
    for (let partition = 0; partition < 12; partition += 1) {
      const priorities = all.map((lanes) => lanes[partition]?.priority ?? 0);
      const winner = priorities.indexOf(Math.max(...priorities));
      won[winner] = (won[winner] ?? 0) + 1;
    }
    least.push(Math.min(...won));
  }
  const mean = least.reduce((sum, one) => sum + one, 0) / rounds;
  // 4 each would be even; independent choices would leave the least with 2.3.
  expect(mean).toBeGreaterThan(2.6);
  expect(least.filter((one) => one === 0).length).toBeLessThan(rounds / 50);
});

describe('changed settings', () => {
  /** Lanes that stop when they are let go. */
  function lanes() {
    const running = new Set<string>();
    const letGo = Promise.withResolvers<undefined>();
    const consumer = new Lanes(
      settings(undefined),
      ({ settings: { queue } }) => ({
        ...{ isConsuming: false, running: 0 },
        start: () => void running.add(queue),
        stop: () => letGo.promise.then(() => void running.delete(queue)),
      }),
      () => undefined,
      () => Promise.resolve(),
    );
    consumer.start();
    return { consumer, running, letGo: () => letGo.resolve(undefined) };
  }

  test('are taken over by a consumer that is stopped meanwhile, and do not start it again', async () => {
    const { consumer, running, letGo } = lanes();
    const updated = consumer.update(settings(2));
    const stopped = consumer.stop();
    letGo();
    await Promise.all([updated, stopped]);
    expect([...running]).toEqual([]);
    consumer.start();
    expect([...running]).toEqual(settings(2).partitions);
  });

  test('that change again meanwhile leave the last ones alone', async () => {
    const { consumer, running, letGo } = lanes();
    const updated = [consumer.update(settings(3)), consumer.update(settings(2))];
    letGo();
    await Promise.all(updated);
    expect([...running]).toEqual(settings(2).partitions);
    await consumer.stop();
    expect([...running]).toEqual([]);
  });
});
