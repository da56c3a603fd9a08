import { afterEach, describe, expect, test } from '@jest/globals';
import type { Event } from '@warren/contracts';
import { eventually } from '@warren/environment/testing';
import { createRelay } from './relay.ts';
import type { Relay, RelayOptions } from './relay.ts';
import { memoryOutbox } from './testing/memory-outbox.ts';
import type { MemoryProcess } from './testing/memory-outbox.ts';

const never = new Promise<never>(() => undefined);
const relays: Relay[] = [];

/** A relay that sweeps so rarely that only wake-ups explain what it does, unless the test says otherwise. */
function startRelay(
  store: MemoryProcess,
  options: Partial<RelayOptions> & Pick<RelayOptions, 'publish'>,
): Relay {
  const relay = createRelay({
    store,
    pollMs: 60_000,
    graceMs: 0,
    backoff: { initialMs: 2, maxMs: 10 },
    ...options,
  });
  relays.push(relay);
  relay.start();
  return relay;
}

afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()));
});

/** A broker that takes everything and remembers it. */
function broker() {
  const ids: string[] = [];
  const publish = async (event: Event): Promise<void> => {
    await Promise.resolve();
    ids.push(event.id);
  };
  return { ids, publish };
}

describe('what is appended', () => {
  test('is published and marked at once, without waiting for the sweep', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = broker();
    startRelay(process, { publish });
    process.append('a', 2);
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#2']);
  });

  test('before the relay was started is found by its first sweep', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    process.append('a');
    const { ids, publish } = broker();
    startRelay(process, { publish });
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
  });

  test('by a process that died is found by the poll of another, when it is old enough', async () => {
    const memory = memoryOutbox();
    const { ids, publish } = broker();
    startRelay(memory.process(), { publish, pollMs: 5, graceMs: 50 });
    const appended = performance.now();
    memory.process().append('a');
    await eventually(() => memory.pending.size === 0);
    expect(performance.now() - appended).toBeGreaterThanOrEqual(49);
    expect(ids).toEqual(['a#1']);
  });

  test('in a burst is read in few reads, not one each', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = broker();
    startRelay(process, { publish });
    for (let n = 0; n < 100; n++) process.append(`a${n}`);
    await eventually(() => memory.pending.size === 0);
    expect(ids).toHaveLength(100);
    expect(memory.calls.pendingCommits).toBeLessThanOrEqual(3);
    expect(memory.calls.mark).toBeLessThanOrEqual(5);
  });

  test('in numbers beyond one read is published all the same', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    for (let n = 0; n < 40; n++) process.append(`a${n % 13}`, 2);
    const { ids, publish } = broker();
    startRelay(process, { publish, batch: 3, window: 2 });
    await eventually(() => memory.pending.size === 0);
    expect(new Set(ids).size).toBe(80);
  });
});

describe('order', () => {
  test('the next event of an aggregate is sent after the confirm of the one before; other aggregates do not wait', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const sent: string[] = [];
    const confirms = new Map<string, () => void>();
    startRelay(process, {
      publish: ({ id }) => {
        sent.push(id);
        return new Promise((resolve) => confirms.set(id, resolve));
      },
    });
    process.append('a', 2);
    process.append('b');
    await eventually(() => sent.length === 2);
    expect(sent.sort()).toEqual(['a#1', 'b#1']);
    confirms.get('b#1')!();
    await eventually(() => !memory.pending.has('b@1'));
    expect(sent).not.toContain('a#2');
    confirms.get('a#1')!();
    await eventually(() => sent.includes('a#2'));
    expect(memory.pending.has('a@1')).toBe(true);
    confirms.get('a#2')!();
    await eventually(() => memory.pending.size === 0);
  });

  test('at most `window` aggregates are on their way at once', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const confirms: (() => void)[] = [];
    let open = false;
    const relay = startRelay(process, {
      window: 3,
      publish: () => (open ? Promise.resolve() : new Promise((resolve) => confirms.push(resolve))),
    });
    for (let n = 0; n < 20; n++) process.append(`a${n}`);
    await eventually(() => confirms.length === 3);
    expect(await relay.drain(20)).toBe(false);
    expect(confirms).toHaveLength(3);
    open = true;
    for (const confirm of confirms) confirm();
    await eventually(() => memory.pending.size === 0);
  });

  test('an append while its aggregate is on its way is not forgotten', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = broker();
    startRelay(process, {
      publish: async (event) => {
        if (event.version < 5) process.append('a');
        await publish(event);
      },
    });
    process.append('a');
    await eventually(() => ids.length === 5 && memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#2', 'a#3', 'a#4', 'a#5']);
  });
});

describe('when a publication fails', () => {
  test('its aggregate is held with a back-off that grows, the others go on, and it goes through in the end', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
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

describe('when the database fails', () => {
  test('a mark is tried again until it succeeds, and nothing is published twice meanwhile', async () => {
    const memory = memoryOutbox();
    let failures = 3;
    const process = memory.process({
      before: (operation) => {
        if (operation === 'mark' && failures-- > 0) throw new Error('not now');
      },
    });
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
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
    const { ids, publish } = broker();
    startRelay(process, { publish });
    await eventually(() => ids.length === 4 && memory.pending.size === 2);
    expect([...memory.pending]).toEqual(['a@2', 'a@3']);
    projected = true;
    await eventually(() => memory.pending.size === 0);
    expect(ids).toHaveLength(4);
  });
});

describe('when the process dies', () => {
  test('between confirm and mark, the next one publishes again with the same id', async () => {
    const memory = memoryOutbox();
    const { ids, publish } = broker();
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
    const pages = { first: 0, second: 0 };
    let alive = true;
    const first = memory.process({
      before: (operation) => {
        if (!alive) throw new Error('dead');
        if (operation === 'pendingAggregates') pages.first++;
      },
    });
    const second = memory.process({
      before: (operation) => {
        if (operation === 'pendingAggregates') pages.second++;
      },
    });
    const { ids, publish } = broker();
    const timing = { pollMs: 4, leaseMs: 60 };
    startRelay(first, { publish, ...timing });
    await eventually(() => pages.first > 0);
    startRelay(second, { publish, ...timing });
    // A relay sweeps without asking in its first moments, for leaseMs; then only the holder does.
    const holds = memory.calls.hold!;
    await eventually(() => memory.calls.hold! > holds + 50);
    const before = { ...pages };
    await eventually(() => pages.first > before.first + 5);
    expect(pages.second).toBe(before.second);

    alive = false;
    memory.process().append('a');
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
  });

  test('gracefully, the lease is given back', async () => {
    const memory = memoryOutbox();
    const { publish } = broker();
    const relay = startRelay(memory.process(), { publish });
    await eventually(() => memory.calls.pendingAggregates === 1);
    await relay.stop();
    expect(await memory.process().outbox.sweepLease.hold('another', 60_000)).toBe(true);
  });
});

describe('drain and stop', () => {
  test('drain waits for confirms and marks; false when the deadline comes first', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    let confirm = (): void => undefined;
    const relay = startRelay(process, { publish: () => new Promise((resolve) => (confirm = resolve)) });
    expect(await relay.drain(0)).toBe(true);
    process.append('a');
    expect(await relay.drain(5)).toBe(false);
    const drained = relay.drain(10_000);
    await eventually(() => memory.calls.ensureProjected === 1);
    confirm();
    expect(await drained).toBe(true);
    expect(memory.pending.size).toBe(0);
  });

  test('stop publishes no more, but marks what is confirmed', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const sent: string[] = [];
    let confirm = (): void => undefined;
    const relay = startRelay(process, {
      publish: ({ id }) => {
        sent.push(id);
        return new Promise((resolve) => (confirm = resolve));
      },
    });
    process.append('a');
    process.append('a');
    await eventually(() => sent.length === 1);
    const stopped = relay.stop();
    confirm();
    await stopped;
    expect(sent).toEqual(['a#1']);
    expect([...memory.pending]).toEqual(['a@2']);
    process.append('b');
    relay.wake();
    relay.start();
    expect(memory.calls.pendingCommits).toBe(1);
  });

  test('stop ends although a publication hangs', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    let sent = 0;
    const relay = startRelay(process, {
      publish: () => {
        sent++;
        return never;
      },
    });
    process.append('a');
    await eventually(() => sent === 1);
    await relay.stop(10);
    expect(memory.pending.size).toBe(1);
  });
});

test('an observer that throws harms nobody but itself', async () => {
  const memory = memoryOutbox();
  const process = memory.process();
  const { publish } = broker();
  let failing = true;
  const fail = (): never => {
    throw new Error('observer');
  };
  startRelay(process, {
    publish: (event) => (failing ? Promise.reject(new Error('once')) : publish(event)),
    observer: { published: fail, marked: fail, failed: fail, held: () => ((failing = false), fail()) },
  });
  process.append('a');
  await eventually(() => memory.pending.size === 0);
});
