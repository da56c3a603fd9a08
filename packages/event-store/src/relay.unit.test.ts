import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@warren/environment/testing';
import { memoryOutbox } from './testing/memory-outbox.ts';
import { memoryBroker, never, startRelay, stopRelays } from './testing/relay-fixture.ts';

afterEach(stopRelays);

describe('what is appended', () => {
  test('is published and marked at once, without waiting for the sweep', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish });
    process.append('a', 2);
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1', 'a#2']);
  });

  test('before the relay was started is found by its first sweep', async () => {
    const memory = memoryOutbox();
    const process = memory.process();
    process.append('a');
    const { ids, publish } = memoryBroker();
    startRelay(process, { publish });
    await eventually(() => memory.pending.size === 0);
    expect(ids).toEqual(['a#1']);
  });

  test('by a process that died is found by the poll of another, when it is old enough', async () => {
    const memory = memoryOutbox();
    const { ids, publish } = memoryBroker();
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
    const { ids, publish } = memoryBroker();
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
    const { ids, publish } = memoryBroker();
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
    const { ids, publish } = memoryBroker();
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
  const { publish } = memoryBroker();
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
