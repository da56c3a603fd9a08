/**
 * The inbox, for effects outside the database (a mail, a card): each message at most once as far as anybody can know.
 *
 * A message's row goes from `claimed` to `done`. (An effect that is an append needs no row: give `once` to the append.)
 *
 * | the process dies | then |
 * |---|---|
 * | before the claim | nothing has happened; the message is delivered again |
 * | between claim and effect, or in the effect | the claim's lease runs out, the next delivery takes it over and runs the effect with the same idempotency key |
 * | between effect and `done` | the same: so the effect must hand the key on (Message-ID, Idempotency-Key) for the other side to recognise |
 * | after `done` | the next delivery is told `before` |
 *
 * Until `done` is written, the lease is renewed; a process that could not renew it in time sees its `signal` aborted.
 * A database that is away is no death: who wants to take a claim over must see it unrenewed, by its own clock, for a
 * whole lease in which the database answered; and `done` is written however late, for as long as the process lives.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Connection } from 'mongoose';
import { within } from './backoff.ts';
import {
  collectionOf,
  ensureCollection,
  isDuplicateKey,
  PATIENCE_MS,
  persisting,
  retrying,
} from './database.ts';
import type { Collection } from './database.ts';
import { EffectUnrecordedError, InboxBusyError } from './errors.ts';
import { createRecent } from './recent.ts';

export interface InboxOptions {
  readonly connection: Connection;
  /** How long a message is remembered; longer than it can lie in a dead-letter queue. 60 days by default. */
  readonly rememberMs?: number;
}

export interface OnceOptions {
  /** How long a claim of a dead process keeps others out. */
  readonly leaseMs: number;
}

export type OnceResult<T> = { readonly done: 'now'; readonly result: T } | { readonly done: 'before' };

export interface Inbox {
  /** Makes the collection and its TTL index. */
  init(): Promise<void>;
  /**
   * Runs the effect unless this handler has done this message. When the effect throws, the claim is given back and the
   * error passes through.
   * @throws {InboxBusyError} while another live process holds the claim: try again after `retryAfterMs`.
   * @throws {EffectUnrecordedError} when the effect has happened and the database is away: it is written down later.
   */
  once<T>(
    handler: string,
    messageId: string,
    effect: (idempotencyKey: string, signal: AbortSignal) => Promise<T>,
    options: OnceOptions,
  ): Promise<OnceResult<T>>;
}

interface InboxDocument {
  readonly _id: string;
  readonly handler: string;
  readonly messageId: string;
  readonly state: 'claimed' | 'done';
  /** Who holds the claim: a process and a try. */
  readonly token: string;
  /** By the database's clock; only whether it changes matters. */
  readonly renewedAt: Date;
  readonly leaseMs: number;
  readonly expireAt: Date;
}

/** A claim of somebody else as it was last seen, by our own monotonic clock. */
interface Watched {
  readonly token: string;
  readonly renewedAt: number;
  /** Since when it has not changed. */
  readonly since: number;
  readonly seen: number;
}

/** Claims of others that are watched; one that is forgotten is watched anew, for a whole lease. */
const MOST_WATCHED = 10_000;

const INBOX = 'inbox';
/** RabbitMQ keeps a dead letter for 49 days at most. */
export const REMEMBER_MS = 60 * 24 * 60 * 60 * 1000;

export function createInbox({ connection, rememberMs = REMEMBER_MS }: InboxOptions): Inbox {
  const rows = (): Collection<InboxDocument> => collectionOf<InboxDocument>(connection, INBOX);
  const expireAt = (): Date => new Date(Date.now() + rememberMs);
  const watched = createRecent<string, Watched>(MOST_WATCHED);

  /** How long the claim must still stay as it is before its holder is dead. */
  function leftMs({ _id, token, renewedAt, leaseMs }: InboxDocument): number {
    const now = performance.now();
    const before = watched.get(_id);
    const isSame = before?.token === token && before.renewedAt === renewedAt.getTime();
    // Where nothing was seen for longer, the holder may not have reached the database either.
    const since = isSame && now - before.seen < leaseMs / 2 ? before.since : now;
    watched.set(_id, { token, renewedAt: renewedAt.getTime(), since, seen: now });
    return since + leaseMs - now;
  }

  /**
   * Undefined when the message is done; the token when the claim is ours now. Asked again with the same token after an
   * unknown outcome, it is ours still.
   */
  async function claim(
    key: string,
    token: string,
    handler: string,
    messageId: string,
    leaseMs: number,
  ): Promise<string | undefined> {
    const claimed = { state: 'claimed' as const, token, leaseMs, expireAt: expireAt() };
    try {
      // Matches no row of another token, so it inserts, or trips over the key. The database stamps the time.
      await rows().updateOne(
        { _id: key, token },
        { $set: { ...claimed, handler, messageId }, $currentDate: { renewedAt: true } },
        { upsert: true },
      );
      return token;
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
    }
    // What no majority has yet is in the way, too.
    const found = await rows().findOne({ _id: key, state: 'claimed' }, { readConcern: { level: 'local' } });
    if (!found) {
      // Whoever comes again may do so once more: it is remembered for as long from now.
      const { matchedCount } = await rows().updateOne(
        { _id: key, state: 'done' },
        { $set: { expireAt: expireAt() } },
      );
      if (matchedCount === 1) return undefined;
      throw new InboxBusyError(handler, messageId, 0); // given back this very moment
    }
    const left = leftMs(found);
    // Looked at more often than a gap may be long.
    if (left > 0) throw new InboxBusyError(handler, messageId, Math.min(left, found.leaseMs / 4));
    const taken = await rows().updateOne(
      { _id: key, state: 'claimed', token: found.token, renewedAt: found.renewedAt },
      { $set: claimed, $currentDate: { renewedAt: true } },
    );
    if (taken.matchedCount === 1) return token;
    throw new InboxBusyError(handler, messageId, found.leaseMs);
  }

  /** Renews the claim until stopped; aborts when it is lost, or when the database could not be asked in time. */
  function keep(key: string, token: string, leaseMs: number): { signal: AbortSignal; stop: () => void } {
    const lost = new AbortController();
    const beatMs = Math.max(1, leaseMs / 3);
    let renewed = performance.now();
    const renew = async () => {
      const asked = performance.now();
      if (asked - renewed > leaseMs - beatMs / 2) lost.abort(new Error('the claim of this message was lost'));
      const { matchedCount } = await rows().updateOne(
        { _id: key, token, state: 'claimed' },
        { $currentDate: { renewedAt: true } },
      );
      if (matchedCount === 1) renewed = asked;
      else lost.abort(new Error('the claim of this message was taken over'));
    };
    // One that fails is tried again with the next beat, until the lease is over.
    const timer = setInterval(() => void renew().catch(() => undefined), beatMs);
    timer.unref();
    return {
      signal: lost.signal,
      stop: () => {
        clearInterval(timer);
      },
    };
  }

  return {
    init: () =>
      ensureCollection(connection, INBOX, [{ key: { expireAt: 1 }, name: 'expire', expireAfterSeconds: 0 }]),

    async once(handler, messageId, effect, { leaseMs }) {
      const key = idempotencyKey(handler, messageId);
      const candidate = randomUUID();
      const token = await retrying(() => claim(key, candidate, handler, messageId, leaseMs));
      if (token === undefined) return { done: 'before' };
      const kept = keep(key, token, leaseMs);
      let result;
      try {
        result = await effect(key, kept.signal);
      } catch (error) {
        kept.stop();
        // Given back, so that a retry need not wait for the lease; when that fails, it waits.
        await rows()
          .deleteOne({ _id: key, token, state: 'claimed' })
          .catch(() => undefined);
        throw error;
      }
      // Done is done, also when the claim was taken over or given back meanwhile: the effect has happened.
      const recorded = persisting(() =>
        rows().updateOne(
          { _id: key },
          { $set: { state: 'done', handler, messageId, token, expireAt: expireAt() } },
          { upsert: true },
        ),
      ).finally(() => {
        kept.stop();
      });
      if (!(await within(PATIENCE_MS, recorded))) throw new EffectUnrecordedError(handler, messageId);
      await recorded;
      return { done: 'now', result };
    },
  };
}

/** The same for every try of a message by a handler, and for no other. Fit for a header: 43 characters of base64url. */
export function idempotencyKey(handler: string, messageId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([handler, messageId]))
    .digest('base64url');
}
