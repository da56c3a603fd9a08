import { describe, expect, test } from '@jest/globals';
import { createCatalogue, defineEvent } from '@warren/contracts';
import type { NewEvent } from '@warren/contracts';
import { z } from 'zod';
import { toCommit } from './commit.ts';
import type { Commit, Once } from './commit.ts';
import { execute } from './decider.ts';
import type { Decider, ExecuteStore } from './decider.ts';
import { AlreadyHandledError, ConcurrencyError } from './errors.ts';

const CounterMoved = defineEvent({
  type: 'CounterMoved',
  owner: 'test',
  description: 'Up or down.',
  versions: {
    1: { schema: z.looseObject({ by: z.number() }), example: { by: 1 } },
    2: { schema: z.looseObject({ by: z.number(), unit: z.string() }), example: { by: 1, unit: 'one' } },
  },
  upcasters: { 1: (v1) => ({ ...v1, unit: 'one' }) },
});
const catalogue = createCatalogue([CounterMoved]);

/** May not go below zero; moving by nothing is no event. */
const counter: Decider<{ value: number; units: string[] }, number> = {
  initial: { value: 0, units: [] },
  evolve: ({ value, units }, event) =>
    CounterMoved.is(event)
      ? { value: value + event.data.by, units: [...units, event.data.unit] }
      : { value, units },
  decide: (by, { value }) => {
    if (value + by < 0) throw new RangeError('below zero');
    return by === 0 ? [] : [CounterMoved.create({ by, unit: 'new' })];
  },
};

/** The contract of a store in a few lines; `interfere` runs before each append, as another writer would. */
function memoryStore(
  interfere: (store: ExecuteStore & { attempts: number }) => void | Promise<void> = () => undefined,
) {
  const commits: Commit[] = [];
  const findOnce = ({ handler, messageId }: Once): Commit | undefined =>
    commits.find(({ once }) => once?.handler === handler && once.messageId === messageId);
  const push = (aggregateId: string, from: number, events: readonly NewEvent[], once?: Once): Commit => {
    const commit = toCommit({
      _id: `${aggregateId}@${from}`,
      aggregateId,
      from,
      to: from + events.length - 1,
      at: new Date(0),
      source: 'test',
      correlationId: 'c',
      events: events.map(({ type, data, schemaVersion = 2 }, index) => ({
        id: `${aggregateId}@${from}+${index}`,
        type,
        schemaVersion,
        data,
      })),
      ...(once && { once }),
    });
    commits.push(commit);
    return commit;
  };
  const store = {
    attempts: 0,
    catalogue,
    push,
    readCommits: (aggregateId: string, { to = Infinity }: { to?: number } = {}) =>
      Promise.resolve(commits.filter((commit) => commit.aggregateId === aggregateId && commit.from <= to)),
    findOnce: (once: Once) => Promise.resolve(findOnce(once)),
    async append(
      aggregateId: string,
      expected: number,
      events: readonly NewEvent[],
      options: { once?: Once },
    ) {
      store.attempts++;
      await interfere(store);
      const earlier = options.once && findOnce(options.once);
      if (earlier) throw new AlreadyHandledError(earlier);
      const head = commits.filter((commit) => commit.aggregateId === aggregateId).at(-1)?.to ?? 0;
      if (head !== expected) throw new ConcurrencyError(aggregateId, expected);
      return push(aggregateId, expected + 1, events, options.once);
    },
  };
  return store;
}

const once = { handler: 'h', messageId: 'm1' };

describe('execute', () => {
  test('decides on what is stored, upcast to the newest version', async () => {
    const store = memoryStore();
    store.push('a', 1, [{ type: 'CounterMoved', data: { by: 2 }, schemaVersion: 1 }]);
    const outcome = await execute(store, counter, 'a', 3, { correlationId: 'c' });
    expect(outcome).toMatchObject({
      version: 2,
      state: { value: 5, units: ['one', 'new'] },
      alreadyHandled: false,
    });
    expect(outcome.events).toHaveLength(1);
  });

  test('appends nothing when nothing follows', async () => {
    const store = memoryStore();
    expect(await execute(store, counter, 'a', 0, { correlationId: 'c' })).toMatchObject({
      version: 0,
      events: [],
    });
    expect(store.attempts).toBe(0);
  });

  test('passes the refusal of a command through', async () => {
    await expect(execute(memoryStore(), counter, 'a', -1, { correlationId: 'c' })).rejects.toThrow(
      'below zero',
    );
  });

  test('loads and decides again when somebody else was quicker', async () => {
    const store = memoryStore(() => {
      if (store.attempts <= 3)
        store.push('a', store.attempts, [CounterMoved.create({ by: 10, unit: 'theirs' })]);
    });
    const outcome = await execute(store, counter, 'a', 1, { correlationId: 'c' });
    expect(outcome).toMatchObject({ version: 4, state: { value: 31 } });
  });

  test('gives up after so many lost races, with the typed error', async () => {
    const store = memoryStore(() => {
      store.push('a', store.attempts, [CounterMoved.create({ by: 1, unit: 'theirs' })]);
    });
    await expect(execute(store, counter, 'a', 1, { correlationId: 'c', attempts: 3 })).rejects.toThrow(
      ConcurrencyError,
    );
    expect(store.attempts).toBe(3);
  });

  test('stops when its signal is aborted', async () => {
    const store = memoryStore(() => {
      store.push('a', store.attempts, [CounterMoved.create({ by: 1, unit: 'theirs' })]);
    });
    const aborted = AbortSignal.timeout(20);
    await expect(
      execute(store, counter, 'a', 1, { correlationId: 'c', attempts: 1_000_000, signal: aborted }),
    ).rejects.toMatchObject({ name: expect.stringMatching(/Abort|Timeout/) });
  });
});

describe('execute with `once`', () => {
  test('yields the first outcome when the message comes again, whatever happened since', async () => {
    const store = memoryStore();
    const first = await execute(store, counter, 'a', 5, { correlationId: 'c', once });
    await execute(store, counter, 'a', -5, { correlationId: 'c' });
    const again = await execute(store, counter, 'a', 5, { correlationId: 'c', once });
    expect(again).toEqual({ ...first, alreadyHandled: true });
  });

  test('yields the first outcome even when deciding it again would be refused or come to nothing', async () => {
    const store = memoryStore();
    store.push('a', 1, [CounterMoved.create({ by: 5, unit: 'x' })]);
    await execute(store, counter, 'b', 1, { correlationId: 'c', once });
    for (const refusedOrNothing of [-6, 0]) {
      const again = await execute(store, counter, 'a', refusedOrNothing, { correlationId: 'c', once });
      expect(again).toMatchObject({ aggregateId: 'b', state: { value: 1 }, alreadyHandled: true });
    }
  });

  test('yields the outcome of another delivery that finished between our read and our append', async () => {
    const store = memoryStore(() => {
      if (store.attempts === 1) store.push('a', 1, [CounterMoved.create({ by: 7, unit: 'theirs' })], once);
    });
    const outcome = await execute(store, counter, 'a', 5, { correlationId: 'c', once });
    expect(outcome).toMatchObject({ state: { value: 7 }, alreadyHandled: true });
  });
});
