/**
 * Whatever is appended, whatever fails and whoever dies between which lines: when it is quiet again, every event was
 * published at least once, the first copies in the order of their aggregate, and nothing was marked before.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { Event } from '@warren/contracts';
import { eventually } from '@warren/environment/testing';
import fc from 'fast-check';
import { createRelay } from './relay.ts';
import type { Relay } from './relay.ts';
import { memoryOutbox } from './testing/memory-outbox.ts';
import type { MemoryProcess } from './testing/memory-outbox.ts';

/** What a database or a broker does with one request: how many turns it takes, and which half of it fails. */
const answer = fc.record({
  turns: fc.nat(3),
  outcome: fc.constantFrom('ok', 'ok', 'ok', 'refused', 'answer lost'),
});
const replica = fc.nat(1);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('append'),
      replica,
      aggregate: fc.nat(3),
      events: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('kill'), replica }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop'), replica }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wake'), replica }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass'), turns: fc.integer({ min: 1, max: 12 }) }) },
);
type Step = { do: string; replica?: number; aggregate?: number; events?: number; turns?: number };

test('no event is lost, overtaken or marked too early', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.infiniteStream(answer),
      fc.record({
        batch: fc.integer({ min: 1, max: 5 }),
        window: fc.integer({ min: 1, max: 4 }),
        maxLanes: fc.integer({ min: 1, max: 4 }),
      }),
      async (steps: Step[], answers, limits) => {
        const memory = memoryOutbox();
        const published: string[] = [];
        let calm = false;
        const early: string[] = [];
        memory.onMark = ({ id, events }) => {
          if (!events.every((event) => published.includes(event.id))) early.push(id);
        };

        /** One request of a process: it may fail before or after its effect, and never comes back to a dead one. */
        const request = async <T>(alive: () => boolean, effect: () => T): Promise<T> => {
          const { turns, outcome } = calm ? { turns: 0, outcome: 'ok' } : answers.next().value;
          for (let turn = 0; turn < turns; turn++) await nextTurn();
          if (!alive() || outcome === 'refused') throw new Error('refused');
          const result = effect();
          if (!alive() || outcome === 'answer lost') throw new Error('answer lost');
          return result;
        };

        const start = (): { store: MemoryProcess; relay: Relay; kill: () => Promise<void> } => {
          let living = true;
          const alive = (): boolean => living;
          const nothing = (): void => undefined;
          const fault = async (operation: string): Promise<void> => {
            if (operation !== 'release') await request(alive, nothing);
          };
          const store = memory.process({ before: fault, after: fault });
          const relay = createRelay({
            store,
            publish: (event: Event) => request(alive, () => void published.push(event.id)),
            pollMs: 2,
            graceMs: 0,
            leaseMs: 10,
            backoff: { initialMs: 1, maxMs: 2 },
            ...limits,
          });
          relay.start();
          return {
            store,
            relay,
            kill: async () => {
              living = false;
              await relay.stop(20);
            },
          };
        };

        const replicas = [start(), start()];
        try {
          for (const { do: what, replica = 0, aggregate = 0, events = 1, turns = 1 } of steps) {
            const current = replicas[replica]!;
            if (what === 'append') current.store.append(`a${aggregate}`, events);
            if (what === 'wake') current.relay.wake();
            if (what === 'kill' || what === 'stop') {
              await (what === 'kill' ? current.kill() : current.relay.stop(20));
              replicas[replica] = start();
            }
            if (what === 'pass') for (let turn = 0; turn < turns; turn++) await nextTurn();
          }
          calm = true;
          await eventually(() => memory.pending.size === 0, { timeoutMs: 5000, intervalMs: 1 });
        } finally {
          await Promise.all(replicas.map(({ relay }) => relay.stop(20)));
        }

        const firstCopies = [...new Set(published)];
        for (const aggregateId of new Set(memory.commits.map((commit) => commit.aggregateId))) {
          const committed = memory.commits
            .filter((commit) => commit.aggregateId === aggregateId)
            .flatMap((commit) => commit.events.map(({ id }) => id));
          expect(firstCopies.filter((id) => id.startsWith(`${aggregateId}#`))).toEqual(committed);
        }
        expect(early).toEqual([]);
      },
    ),
    { numRuns: 150 },
  );
});
