import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import { InboxBusyError } from './errors.ts';
import { createInbox, idempotencyKey } from './inbox.ts';
import type { Inbox } from './inbox.ts';
import { openConnection } from './testing/test-store.ts';

const leaseMs = 60_000;

async function twoProcesses(): Promise<{ first: Inbox; second: Inbox } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const open = async (): Promise<Inbox> => {
    const connection = await openConnection(database.url);
    stack.defer(() => connection.close());
    return createInbox({ connection });
  };
  const [first, second] = await Promise.all([open(), open()]);
  await Promise.all([first.init(), second.init()]);
  return { first, second, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe('an effect', () => {
  test('happens once by handler and message, and the key it hands on is the same for every try', async () => {
    await using processes = await twoProcesses();
    const { first, second } = processes;
    const keys: string[] = [];
    const effect = (key: string) => Promise.resolve(keys.push(key));
    expect(await first.once('h', 'm', effect, { leaseMs })).toEqual({ done: 'now', result: 1 });
    expect(await second.once('h', 'm', effect, { leaseMs })).toEqual({ done: 'before' });
    expect(await second.once('another', 'm', effect, { leaseMs })).toEqual({ done: 'now', result: 2 });
    expect(await second.once('h', 'm2', effect, { leaseMs })).toEqual({ done: 'now', result: 3 });
    expect(keys).toEqual([
      idempotencyKey('h', 'm'),
      idempotencyKey('another', 'm'),
      idempotencyKey('h', 'm2'),
    ]);
    expect(new Set(keys).size).toBe(3);
  });

  test('that fails is tried again at the next delivery, without waiting for the lease', async () => {
    await using processes = await twoProcesses();
    const { first, second } = processes;
    const failing = first.once('h', 'm', () => Promise.reject(new Error('smtp is away')), { leaseMs });
    await expect(failing).rejects.toThrow('smtp is away');
    expect(await second.once('h', 'm', () => Promise.resolve('sent'), { leaseMs })).toEqual({
      done: 'now',
      result: 'sent',
    });
  });

  test('that is under way keeps others out; they are told when to try again', async () => {
    await using processes = await twoProcesses();
    const { first, second } = processes;
    const { promise, resolve } = Promise.withResolvers<string>();
    let begun = false;
    const running = first.once(
      'h',
      'm',
      () => {
        begun = true;
        return promise;
      },
      { leaseMs },
    );
    await eventually(() => begun);
    const other = second.once('h', 'm', () => Promise.resolve('twice'), { leaseMs });
    await expect(other).rejects.toBeInstanceOf(InboxBusyError);
    await expect(other).rejects.toMatchObject({ code: 'WARREN_INBOX_BUSY' });
    const { retryAfterMs } = (await other.catch((error: unknown) => error)) as InboxBusyError;
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(leaseMs);
    resolve('once');
    expect(await running).toEqual({ done: 'now', result: 'once' });
  });

  test('that takes longer than its lease keeps it', async () => {
    await using processes = await twoProcesses();
    const { first, second } = processes;
    const short = { leaseMs: 1500 };
    const began = performance.now();
    let aborted = false;
    const running = first.once(
      'h',
      'm',
      async (_, signal) => {
        signal.addEventListener('abort', () => (aborted = true));
        await eventually(async () => {
          const other = second.once('h', 'm', () => Promise.resolve(), short);
          await expect(other).rejects.toBeInstanceOf(InboxBusyError);
          return performance.now() - began > 4000;
        });
      },
      short,
    );
    expect(await running).toMatchObject({ done: 'now' });
    expect(aborted).toBe(false);
  });

  test('is begun once when many deliveries come at once', async () => {
    await using processes = await twoProcesses();
    const { first, second } = processes;
    let effects = 0;
    const effect = async (): Promise<void> => {
      effects++;
      await new Promise(setImmediate);
    };
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? first : second).once('h', 'm', effect, { leaseMs })),
    );
    expect(effects).toBe(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(InboxBusyError);
    }
  });
});

test('what is done is forgotten after a while, by the database itself', async () => {
  await using database = await testDatabase();
  const connection = await openConnection(database.url);
  try {
    await createInbox({ connection, rememberMs: 1000 }).init();
    const indexes = await connection.db!.collection('inbox').indexes();
    expect(indexes).toContainEqual(expect.objectContaining({ key: { expireAt: 1 }, expireAfterSeconds: 0 }));
    await createInbox({ connection, rememberMs: 1000 }).once('h', 'm', () => Promise.resolve(), { leaseMs });
    const row = await connection.db!.collection('inbox').findOne({});
    expect((row!.expireAt as Date).getTime()).toBeLessThanOrEqual(Date.now() + 1000);
  } finally {
    await connection.close();
  }
});
