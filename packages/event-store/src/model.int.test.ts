/** The store against a model of it: a list of commits in memory, and three rules. */
import { expect, test } from '@jest/globals';
import { testDatabase } from '@warren/environment/testing';
import fc from 'fast-check';
import type { Once } from './commit.ts';
import { AlreadyHandledError, ConcurrencyError } from './errors.ts';
import { cause, openStore, placed } from './testing/test-store.ts';

interface ModelCommit {
  readonly aggregateId: string;
  readonly from: number;
  readonly to: number;
  readonly once?: Once;
  readonly totals: readonly number[];
}

/** What `append` must do, said as simply as possible. */
function modelAppend(
  log: ModelCommit[],
  aggregateId: string,
  expected: number,
  totals: number[],
  once?: Once,
): string {
  const same = log.some(
    (commit) => once && commit.once?.handler === once.handler && commit.once.messageId === once.messageId,
  );
  if (same) return 'already handled';
  const head = log.filter((commit) => commit.aggregateId === aggregateId).at(-1)?.to ?? 0;
  if (expected !== head) return 'conflict';
  log.push({ aggregateId, from: head + 1, to: head + totals.length, totals, ...(once && { once }) });
  return 'appended';
}

const append = fc.record({
  process: fc.nat(1),
  aggregate: fc.constantFrom('a', 'b', 'a@1'),
  /** Off the head by so many; mostly right. */
  off: fc.constantFrom(0, 0, 0, 0, -1, -2, 1),
  totals: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
  once: fc.option(
    fc.record({ handler: fc.constantFrom('h1', 'h2'), messageId: fc.constantFrom('m1', 'm2', 'm3') }),
    { nil: undefined, freq: 2 },
  ),
  readFrom: fc.integer({ min: 1, max: 6 }),
});

test('whatever is appended, the store answers and holds what the model says', async () => {
  await using database = await testDatabase();
  await using first = await openStore(database.url);
  await using second = await openStore(database.url);
  const stores = [first.store, second.store];
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(append, { minLength: 1, maxLength: 15 }), async (appends) => {
      const suffix = `-${run++}`; // each run has aggregates and messages of its own
      const log: ModelCommit[] = [];
      for (const { process, aggregate, off, totals, once: claim, readFrom } of appends) {
        const store = stores[process]!;
        const id = aggregate + suffix;
        const head = log.filter(({ aggregateId }) => aggregateId === id).at(-1)?.to ?? 0;
        const expected = Math.max(0, head + off);
        const once = claim && { handler: claim.handler, messageId: claim.messageId + suffix };
        const events = totals.map((total) => placed(id, { total }));
        const answer = await store.append(id, expected, events, { ...cause, ...(once && { once }) }).then(
          () => 'appended',
          (error: unknown) => {
            if (error instanceof AlreadyHandledError) return 'already handled';
            if (error instanceof ConcurrencyError) return 'conflict';
            throw error;
          },
        );
        expect(answer).toBe(modelAppend(log, id, expected, totals, once));

        const wanted = log
          .filter(({ aggregateId }) => aggregateId === id)
          .flatMap(({ from, totals }) => totals.map((total, index) => ({ version: from + index, total })));
        const read = (await stores[1 - process]!.read(id, { from: readFrom })).map(({ version, data }) => ({
          version,
          total: (data as { total: number }).total,
        }));
        expect(read).toEqual(wanted.filter(({ version }) => version >= readFrom));
        if (once) {
          const { from, to } =
            log.find(
              (commit) => commit.once?.handler === once.handler && commit.once.messageId === once.messageId,
            ) ?? {};
          const found = await store.findOnce(once);
          expect(found && [found.from, found.to]).toEqual(from && [from, to]);
        }
      }
      const pending = await first.store.outbox.pendingCommits(
        ['a', 'b', 'a@1'].map((id) => id + suffix),
        100,
      );
      expect(pending.commits).toHaveLength(log.length);
    }),
    { numRuns: 40 },
  );
});
