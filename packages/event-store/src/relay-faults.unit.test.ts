import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import type { Commit } from './commit.ts';
import { memoryOutbox } from './testing/memory-outbox.ts';
import { memoryBroker, never, startRelay, stopRelays } from './testing/relay-fixture.ts';

afterEach(stopRelays);

describe('when a publication fails', () => {
  test('its aggregate is held with a back-off that grows, the others go on, and it goes through in the end', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    const held: { aggregateId: string; failures: number; retryInMs: number }[] = [];
    let broken = true;
    startRelay(process, {
      backoff: { initialMs: 2, maxMs: 16 },
      publish: (event) =>
        broken && event.aggregateId === 'a' ? Promise.reject(new Error('no')) : publish(event),
      observer: { held: (one) => held.push(one) },
    });
    process.append('a');
    process.append('b');
    await eventually(() => !memory.pending.has('b@1') && held.length >= 5);
    expect(memory.pending.has('a@1')).toBe(true);
    expect(held.map(({ failures }) => failures)).toEqual(held.map((_, index) => index + 1));
    for (const { aggregateId, failures, retryInMs } of held) {
      const full = Math.min(16, 2 * 2 ** (failures - 1));
      expect(aggregateId).toBe('a');
      expect(retryInMs).toBeGreaterThanOrEqual(full / 2);
      expect(retryInMs).toBeLessThanOrEqual(full);
    }
    broken = false;
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['b#1', 'a#1']);
  });

  test('in the middle of a commit, what was confirmed is not sent again and nothing is marked early', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    let failures = 3;
    memory.onMark = () => expect(ids).toEqual(['a#1', 'a#2', 'a#3']);
    startRelay(process, {
      publish: (event) =>
        event.version === 2 && failures-- > 0 ? Promise.reject(new Error('no')) : publish(event),
    });
    process.append('a', 3);
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#2', 'a#3']);
  });

  test('because its confirm was lost, it is sent again: a duplicate, not a loss', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    let lost = 2;
    startRelay(process, {
      publish: async (event) => {
        await publish(event);
        if (event.version === 1 && lost-- > 0) throw new Error('the channel closed before the confirm');
      },
    });
    process.append('a', 2);
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#1', 'a#1', 'a#2']);
  });

  test('because no queue takes it, the later events of its aggregate wait behind it; a wake-up tries at once', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    let bound = false;
    let returned = 0;
    const relay = startRelay(process, {
      backoff: { initialMs: 60_000, maxMs: 60_000 },
      publish: (event) => {
        if (bound) return publish(event);
        returned++;
        return Promise.reject(new Error('NO_ROUTE'));
      },
    });
    process.append('a');
    await eventually(() => returned === 1);
    process.append('a');
    await relay.drain(1000);
    expect(returned).toBe(1);
    bound = true;
    relay.wake();
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#2']);
  });
});

describe('when more aggregates are held than are remembered', () => {
  test('the others go on, and in the end all go through', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    const held = new Set<string>();
    let full = true;
    const relay = startRelay(process, {
      maxLanes: 5,
      pollMs: 2,
      backoff: { initialMs: 60_000, maxMs: 60_000 },
      publish: (event) =>
        full && event.aggregateId !== 'good'
          ? Promise.reject(new Error('the queue is full'))
          : publish(event),
      observer: { held: ({ aggregateId }) => held.add(aggregateId) },
    });
    for (let n = 0; n < 20; n++) process.append(`bad${n}`);
    await eventually(() => held.size === 20);
    process.append('good');
    await eventually(() => !memory.pending.has('good@1'));
    expect(ids).toEqual(['good#1']);
    full = false;
    await eventually(() => memory.pending.size === 5); // which are held for a minute
    relay.wake();
    await eventually(() => memory.pending.size === 0);
    expect(ids).toHaveLength(21);
  });

  test('those of which events were confirmed are kept, so that these are not sent again', async () => {
    const memory = memoryOutbox();
    const process = memory.process({
      unprojected: (commits) =>
        commits
          .filter(({ aggregateId }) => aggregateId === 'a')
          .map((commit) => ({ projection: 'p', commit, error: new Error('not now') })),
    });
    const { ids, publish } = memoryBroker();
    const held: string[] = [];
    startRelay(process, {
      maxLanes: 2,
      pollMs: 2,
      backoff: { initialMs: 1, maxMs: 5 },
      publish: (event) =>
        event.aggregateId === 'a' ? publish(event) : Promise.reject(new Error('the queue is full')),
      observer: { held: ({ aggregateId }) => held.push(aggregateId) },
    });
    for (let n = 0; n < 5; n++) process.append(`bad${n}`);
    await eventually(() => new Set(held).size === 5);
    process.append('a');
    await eventually(() => held.filter((aggregateId) => aggregateId === 'a').length >= 10);
    expect(ids).toEqual(['a#1']);
  });
});

describe('when the database fails', () => {
  test('a mark is tried again until it succeeds, and nothing is published twice meanwhile', async () => {
    const memory = memoryOutbox();
    let failures = 3;
    const process = memory.process({
      before: (operation) => {
        if (operation === 'mark' && failures-- > 0) throw new Error('not now');
      },
    });
    const { ids, publish } = memoryBroker();
    const errors: unknown[] = [];
    startRelay(process, { publish, observer: { failed: (error) => errors.push(error) } });
    process.append('a');
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
    expect(errors).toHaveLength(3);
  });

  test('a read that fails holds what it was for, and is tried again', async () => {
    const memory = memoryOutbox();
    let failures = 3;
    const process = memory.process({
      before: (operation) => {
        if (operation === 'pendingCommits' && failures-- > 0) throw new Error('not now');
      },
    });
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish });
    process.append('a');
    process.append('b');
    await eventually(() => memory.pending.size === 0);
    expect(ids.sort()).toEqual(['a#1', 'b#1']);
  });

  test('a sweep that fails is followed by the next', async () => {
    const memory = memoryOutbox();
    let failures = 3;
    const process = memory.process({
      before: (operation) => {
        if (operation === 'pendingAggregates' && failures-- > 0) throw new Error('not now');
      },
    });
    process.append('a');
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish, pollMs: 2 });
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
  });

  test('a commit that is not projected is published but not marked, until it is', async () => {
    const memory = memoryOutbox();
    let projected = false;
    const process = memory.process({
      unprojected: (commits) =>
        projected
          ? []
          : commits
              .filter(({ aggregateId, from }) => aggregateId === 'a' && from === 2)
              .map((commit) => ({ projection: 'p', commit, error: new Error('not now') })),
    });
    process.append('a');
    process.append('a');
    process.append('a');
    process.append('b');
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish });
    await eventually(() => ids.length === 4 && memory.pending.size === 2);
    expect([...memory.pending]).toEqual(['a@2', 'a@3']);
    projected = true;
    await eventually(() => memory.pending.size === 0);
    expect(ids).toHaveLength(4);
  });

  test('of several projections that lack commits, the one that is furthest behind decides what is marked', async () => {
    const memory = memoryOutbox();
    const failureOf = (projection: string, commit: Commit) => ({
      projection,
      commit,
      error: new Error('no'),
    });
    const process = memory.process({
      unprojected: (commits) => {
        const [first, second, third] = commits;
        if (!first || !second || !third) return [];
        return [failureOf('p', third), failureOf('q', second)];
      },
    });
    for (let n = 0; n < 3; n++) process.append('a');
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish, backoff: { initialMs: 60_000, maxMs: 60_000 } });
    await eventually(() => ids.length === 3 && memory.pending.size < 3);
    expect([...memory.pending]).toEqual(['a@2', 'a@3']);
  });
});

describe('when the process dies', () => {
  test('between confirm and mark, the next one publishes again with the same id', async () => {
    const memory = memoryOutbox();
    const { ids, publish } = memoryBroker();
    let dead = false;
    const died = memory.process({
      before: (operation) => {
        if (operation !== 'mark') return;
        dead = true;
        throw new Error('killed');
      },
    });
    const first = startRelay(died, { publish: (event) => (dead ? never : publish(event)) });
    died.append('a');
    await eventually(() => dead);
    await first.stop();
    expect([...memory.pending]).toEqual(['a@1']);

    startRelay(memory.process(), { publish });
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#1']);
  });

  test('the lease of its sweep runs out, and another process sweeps; while it lives, it is the only one', async () => {
    const memory = memoryOutbox();
    const sweeps: string[] = [];
    const holds: string[] = [];
    const replica = (name: string) =>
      memory.process({
        before: (operation) => {
          if (operation === 'pendingAggregates') sweeps.push(name);
          if (operation === 'hold') holds.push(name);
        },
      });
    const { ids, publish } = memoryBroker();
    const timing = { pollMs: 2, leaseMs: 0, graceMs: 0 };
    const first = startRelay(replica('first'), { publish, ...timing });
    await eventually(() => sweeps.length > 0);
    startRelay(replica('second'), { publish, ...timing });
    await eventually(() => holds.filter((name) => name === 'second').length > 10);
    expect(new Set(sweeps)).toEqual(new Set(['first']));

    await first.stop();
    memory.expireLease();
    memory.process().append('a');
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
  });

  test('gracefully, the lease is given back', async () => {
    const memory = memoryOutbox();
    const { publish } = memoryBroker();
    const relay = startRelay(memory.process(), { publish });
    await eventually(() => memory.calls.pendingAggregates === 1);
    await relay.stop();
    expect(await memory.process().outbox.sweepLease.hold('another', 60_000)).toBe(true);
  });
});
