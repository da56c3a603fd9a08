/** The network breaks between a write and its answer: the store finds out what became of the write. */
import { describe, expect, test } from '@jest/globals';
import { eventually, testDatabase } from '@warren/environment/testing';
import {
  AlreadyHandledError,
  AppendUnknownError,
  ConcurrencyError,
  EffectUnrecordedError,
  InboxBusyError,
} from './errors.ts';
import { createInbox } from './inbox.ts';
import { createRelay } from './relay.ts';
import { tcpProxy } from './testing/tcp-proxy.ts';
import { cause, completed, openStore, placed } from './testing/test-store.ts';

async function setUp() {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const proxy = stack.use(await tcpProxy(database.url));
  const { store: direct } = stack.use(await openStore(database.url));
  const url = proxy.through(database.url);
  const { store, connection } = stack.use(await openStore(url));
  const dispose = (): Promise<void> => stack.disposeAsync();
  return { proxy, direct, store, connection, url, [Symbol.asyncDispose]: dispose };
}

describe('when the answer to an append is lost', () => {
  test('the append succeeds, and has appended once', async () => {
    await using parts = await setUp();
    const { proxy, store, direct } = parts;
    proxy.loseAnswers('OrderPlaced', 3);
    const commit = await store.append('o', 0, [placed('o')], {
      ...cause,
      once: { handler: 'h', messageId: 'm' },
    });
    expect(proxy.lost).toBeGreaterThanOrEqual(1);
    expect(await direct.read('o')).toEqual(commit.events);
    await store.append('o', 1, [completed('o')], cause);
    expect(await direct.read('o')).toHaveLength(2);
  });

  test('somebody else has appended meanwhile: still ours', async () => {
    await using parts = await setUp();
    const { proxy, store, direct } = parts;
    proxy.loseAnswers('OrderPlaced');
    const appending = store.append('o', 0, [placed('o')], cause);
    await eventually(async () => (await direct.read('o')).length === 1);
    await direct.append('o', 1, [completed('o')], cause);
    await appending;
    expect((await direct.read('o')).map(({ type }) => type)).toEqual(['OrderPlaced', 'OrderCompleted']);
  });

  test('and it had lost the race, or the message was handled: the typed error, not a duplicate key', async () => {
    await using parts = await setUp();
    const { proxy, store, direct } = parts;
    const once = { handler: 'h', messageId: 'm' };
    await direct.append('o', 0, [placed('o')], { ...cause, once });
    proxy.loseAnswers('OrderPlaced');
    await expect(store.append('o', 0, [placed('o')], cause)).rejects.toBeInstanceOf(ConcurrencyError);
    proxy.loseAnswers('OrderPlaced');
    await expect(store.append('o2', 0, [placed('o2')], { ...cause, once })).rejects.toBeInstanceOf(
      AlreadyHandledError,
    );
    expect(proxy.lost).toBe(2);
  });
});

test('when the database is away for a moment, appends and reads wait for it', async () => {
  await using parts = await setUp();
  const { proxy, store } = parts;
  proxy.down();
  const appending = store.append('o', 0, [placed('o')], cause);
  const reading = store.read('o');
  setTimeout(() => proxy.restore(), 300);
  await appending;
  await reading;
  expect(await store.read('o')).toHaveLength(1);
});

test('when the database stays away, an append says that its outcome is unknown', async () => {
  await using parts = await setUp();
  const { proxy, store } = parts;
  proxy.stall();
  await expect(store.append('o', 0, [placed('o')], cause)).rejects.toMatchObject({
    name: AppendUnknownError.name,
    code: 'WARREN_APPEND_UNKNOWN',
  });
});

test('when the answer to a mark is lost, it is marked again, and nothing is published twice', async () => {
  await using parts = await setUp();
  const { proxy, store, direct } = parts;
  const published: string[] = [];
  const relay = createRelay({
    store,
    publish: ({ id }) => {
      published.push(id);
      return Promise.resolve();
    },
  });
  try {
    relay.start();
    proxy.loseAnswers('$unset', 2);
    await store.append('o', 0, [placed('o')], cause);
    await eventually(async () => (await direct.outbox.backlog()).count === 0 && proxy.lost > 0);
    expect(await relay.drain(10_000)).toBe(true);
    expect(published).toHaveLength(1);
  } finally {
    await relay.stop();
  }
});

test('when the answers of the inbox are lost, the effect still happens once and is remembered', async () => {
  await using parts = await setUp();
  const { proxy, connection } = parts;
  const inbox = createInbox({ connection });
  await inbox.init();
  let effects = 0;
  const effect = () => Promise.resolve(++effects);
  proxy.loseAnswers('claimed');
  expect(await inbox.once('h', 'm', effect, { leaseMs: 60_000 })).toEqual({ done: 'now', result: 1 });
  proxy.loseAnswers('done');
  expect(await inbox.once('h', 'm2', effect, { leaseMs: 60_000 })).toEqual({ done: 'now', result: 2 });
  expect(proxy.lost).toBe(2);
  for (const message of ['m', 'm2']) {
    expect(await inbox.once('h', message, effect, { leaseMs: 60_000 })).toEqual({ done: 'before' });
  }
});

test('when the database goes away with an effect, for longer than anybody waits: it happens once', async () => {
  await using parts = await setUp();
  const { proxy, connection, url } = parts;
  await using another = await openStore(url);
  const [first, second] = [createInbox({ connection }), createInbox(another)];
  await first.init();
  let effects = 0;
  const leaseMs = 3000;
  const again = () => second.once('h', 'm', () => Promise.resolve(++effects), { leaseMs });
  const begun = Promise.withResolvers<undefined>();
  const gate = Promise.withResolvers<undefined>();
  const effect = async (): Promise<void> => {
    begun.resolve(undefined);
    await gate.promise;
    effects++;
  };
  const effectful = first.once('h', 'm', effect, { leaseMs });
  await begun.promise;
  await expect(again()).rejects.toBeInstanceOf(InboxBusyError);
  proxy.down();
  gate.resolve(undefined);
  const [told, unanswered] = await Promise.allSettled([effectful, again()]);
  proxy.restore();
  expect(await eventually(again)).toEqual({ done: 'before' });
  expect(effects).toBe(1);
  expect(told).toMatchObject({
    reason: { name: EffectUnrecordedError.name, code: 'WARREN_EFFECT_UNRECORDED' },
  });
  expect(unanswered).toMatchObject({ status: 'rejected' });
});

test('when an effect is under way in an outage, its claim is nobody else’s after it', async () => {
  await using parts = await setUp();
  const { proxy, connection, url } = parts;
  await using another = await openStore(url);
  const [first, second] = [createInbox({ connection }), createInbox(another)];
  await first.init();
  const leaseMs = 6000;
  const again = () => second.once('h', 'm', () => Promise.resolve('twice'), { leaseMs });
  const begun = Promise.withResolvers<undefined>();
  const gate = Promise.withResolvers<string>();
  const effect = (): Promise<string> => {
    begun.resolve(undefined);
    return gate.promise;
  };
  const running = first.once('h', 'm', effect, { leaseMs });
  await begun.promise;
  await expect(again()).rejects.toBeInstanceOf(InboxBusyError);
  proxy.down();
  await expect(again()).rejects.toMatchObject({ name: 'MongoServerSelectionError' });
  proxy.restore();
  const found = await eventually(async () => {
    const error: unknown = await again().catch((reason: unknown) => reason);
    return error instanceof Error && error.name.startsWith('Mongo') ? undefined : error;
  });
  expect(found).toBeInstanceOf(InboxBusyError);
  gate.resolve('once');
  expect(await running).toEqual({ done: 'now', result: 'once' });
  expect(await eventually(again)).toEqual({ done: 'before' });
});
