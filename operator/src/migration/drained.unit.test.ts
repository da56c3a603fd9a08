import { expect, jest, test } from '@jest/globals';
import { COUNT_LAG_MS, inventoryOf, quorumQueue } from '@warren/topology';
import type { QueueActivity } from '@warren/rabbitmq';
import fc from 'fast-check';
import { countsTogether, Drained } from './drained.ts';
import type { Answer } from './drained.ts';

const QUEUE = 'shop.loyalty';
const WAIT = `${QUEUE}.wait.1000`;
const wait = quorumQueue(WAIT, { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': QUEUE });

/** What the broker tells. */
interface Told {
  messages?: number | undefined;
  /** In the wait queue. */
  waiting?: number;
  /** Set aside: what only a deletion empties. */
  dead?: number;
  /** Into the wait queue until then. */
  retries?: number;
}

/** Looks at these seconds of a clock of its own. */
function looking({ hasWaitQueue = true } = {}) {
  let now = 0;
  const clock = jest.spyOn(performance, 'now').mockImplementation(() => now * 1_000);
  const drained = new Drained();
  const { signal } = new AbortController();
  const looked = (second: number, told: Told, movedAt: number): Promise<Answer> => {
    now = second;
    const { messages, waiting, dead, retries } = { messages: 0, waiting: 0, dead: 0, retries: 0, ...told };
    const queues = [
      { ...quorumQueue(QUEUE, {}), type: 'quorum', messages },
      ...(hasWaitQueue ? [{ ...wait, type: 'quorum', messages: waiting }] : []),
    ];
    const found = inventoryOf({ exchanges: [], queues, bindings: [], policies: [] });
    const activityOf = () => Promise.resolve(new Map([[WAIT, { published: retries } as QueueActivity]]));
    const counts = countsTogether({ queue: QUEUE }, { found, readAt: second * 1_000 });
    return drained.look(
      'test',
      { ...counts, areEmpty: counts.areEmpty && dead === 0 },
      { movedAt: movedAt * 1_000, connection: { activityOf }, signal },
    );
  };
  const look = async (second: number, told: Told = {}, movedAt = -Infinity): Promise<boolean> =>
    (await looked(second, told, movedAt)).drained;
  const againIn = async (second: number, told: Told = {}): Promise<number> =>
    (await looked(second, told, -Infinity)).againAt / 1_000 - second;
  return { look, againIn, [Symbol.dispose]: () => clock.mockRestore() };
}

/** The first second at which it is drained; looked at each second. */
async function drainedAt(
  look: ReturnType<typeof looking>['look'],
  told: (second: number) => Told = () => ({}),
  movedAt?: number,
): Promise<number> {
  for (let second = 0; second < 120; second += 1)
    if (await look(second, told(second), movedAt !== undefined && second > movedAt ? movedAt : undefined))
      return second;
  return Infinity;
}

test('a queue without wait queues is drained when a count after the one that found it empty says so too', async () => {
  using t = looking({ hasWaitQueue: false });
  expect(await drainedAt(t.look)).toBe(6);
});

test('with wait queues it takes a count more, after one in which no retry went in', async () => {
  using t = looking();
  expect(await drainedAt(t.look)).toBe(18);
});

test('retries are counted while it is still being emptied, so that nobody waits for that afterwards', async () => {
  using t = looking();
  expect(await drainedAt(t.look, (second) => ({ messages: second < 20 ? 1 : 0 }))).toBe(32);
});

test.each<[string, Told]>([
  ['a message in the queue', { messages: 1 }],
  ['one that waits', { waiting: 1 }],
])('%s begins it anew', async (_, some) => {
  using t = looking();
  expect(await drainedAt(t.look, (second) => (second === 15 ? some : {}))).toBe(16 + 12);
});

test('a retry that goes in begins it anew, with a count of that', async () => {
  using t = looking();
  expect(await drainedAt(t.look, (second) => ({ retries: second < 15 ? 3 : 4 }))).toBe(15 + 18);
});

test('a movement begins it anew', async () => {
  using t = looking();
  expect(await drainedAt(t.look, () => ({}), 14)).toBe(15 + 12);
});

test.each([
  { hasWaitQueue: false, readings: [0, 6] },
  { hasWaitQueue: true, readings: [0, 6, 12, 18] },
])(
  'whoever comes again when it says needs no more readings: $readings',
  async ({ hasWaitQueue, readings }) => {
    using t = looking({ hasWaitQueue });
    const seconds = [0];
    while (seconds.length < readings.length) {
      const second = seconds.at(-1) ?? 0;
      seconds.push(second + (await t.againIn(second)));
    }
    expect(seconds).toEqual(readings);
    expect(await t.look(seconds.at(-1) ?? 0)).toBe(true);
  },
);

test('what is not counted is not empty', async () => {
  using t = looking();
  for (let second = 0; second < 30; second += 1)
    expect(await t.look(second, { messages: undefined })).toBe(false);
});

test('neither a retry nor the dead letter that it becomes is ever taken for gone, however it goes to and fro and whenever its queues are counted', async () => {
  const TICK = COUNT_LAG_MS / 1_000;
  const seconds = (min: number, max: number) =>
    fc.integer({ min: min * 10, max: max * 10 }).map((tenths) => tenths / 10);
  /** In the queue, in the wait queue, in the queue …: in step with the counts but for the first and the last. */
  const stays = fc
    .tuple(seconds(0, 15), seconds(0.1, 4.9), fc.integer({ min: 0, max: 5 }), fc.array(seconds(0.1, 9)))
    .map(([first, waits, times, last]) => [
      first,
      ...Array.from({ length: times }, () => [waits, TICK - waits]).flat(),
      ...last.slice(0, 4),
    ]);
  const phase = seconds(0.1, TICK);
  const looks = fc.array(fc.oneof(seconds(0.5, 1.5), seconds(0.5, 8)), { minLength: 40, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(
      stays,
      fc.tuple(phase, phase, phase, phase, phase),
      looks,
      fc.boolean(),
      async (all, [queue, wait, set, one, other], pauses, isSetAside) => {
        using t = looking();
        const moves = all.map((_, index) => all.slice(0, index + 1).reduce((sum, each) => sum + each, 0));
        const movesBy = (second: number) => moves.filter((each) => each <= second).length;
        const isIn = (by: number, which: number) => (by < moves.length && by % 2 === which ? 1 : 0);
        let second = 0;
        const counted = (at: number) => movesBy(at + Math.floor((second - at) / TICK) * TICK);
        // By two consumers in turn, each of which is counted by itself.
        const retries = () =>
          Math.ceil(Math.ceil(counted(one) / 2) / 2) + Math.floor(Math.ceil(counted(other) / 2) / 2);
        for (const pause of pauses) {
          second += pause;
          const told = {
            messages: isIn(counted(queue), 0),
            waiting: isIn(counted(wait), 1),
            dead: isSetAside && counted(set) === moves.length ? 1 : 0,
            retries: retries(),
          };
          if (!(await t.look(second, told))) continue;
          expect(isSetAside).toBe(false);
          expect(movesBy(second)).toBe(moves.length);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});
