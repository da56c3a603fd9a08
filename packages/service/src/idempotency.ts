/**
 * `Idempotency-Key` on POST: the same key with the same request has one effect and one answer.
 *
 * A key is claimed by inserting one document before the handler runs; its answer is written into that document after.
 *
 *   (none) ── insert ──▶ running ── answered below 500 ──▶ done ── TTL ──▶ (none)
 *                          │  └──── failed with 5xx ──────▶ free: a repeat runs at once
 *                          └─ the process died: the lease, which it renews, runs out, a repeat takes over
 *
 * | a repeat finds | answer |
 * |---|---|
 * | done, the same request | the stored answer, with `Idempotency-Replayed: true` |
 * | running | 409 with Retry-After |
 * | another request under this key | 422 |
 *
 * Between the effect and the stored answer a process may die, or fail. So ids are derived from key and request
 * ({@link derivedIds}): the repeat makes the same aggregate, finds it made, and gives the same answer. And the key stays
 * bound to its request, since the effect may be there.
 */
import { createHash, randomUUID } from 'node:crypto';
import { isDuplicateKey } from '@warren/event-store';
import type { Connection } from 'mongoose';
import { Problem, problemOf } from './problem.ts';
import type { RequestIds, RouteResponse } from './route.ts';

interface KeyDocument {
  _id: string;
  fingerprint: string;
  /** Who runs it, so that only that run writes the answer. */
  owner: string;
  lockedUntil: Date;
  expiresAt: Date;
  answer?: { status: number; headers: Record<string, string>; body: string };
}

/** One request under a key. */
export interface KeyedRequest {
  readonly key: string;
  /** The method and path; a key means something only within it. */
  readonly operation: string;
  /** What the key is bound to. */
  readonly fingerprint: string;
}

/** Runs requests under keys. */
export interface Idempotency {
  init(): Promise<void>;
  run(request: KeyedRequest, handle: (ids: RequestIds) => Promise<RouteResponse>): Promise<RouteResponse>;
}

/** Limits, in milliseconds. */
export interface IdempotencyLimits {
  /** How long an answer is remembered. */
  readonly ttlMs: number;
  /** After this a running request that has not renewed its claim counts as dead. */
  readonly leaseMs: number;
}

/** The fingerprint of a request: what must be the same under the same key. */
export function fingerprintOf(operation: string, params: unknown, body: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([operation, params, body]))
    .digest('base64url');
}

/** UUIDs (version 8) that follow from a key and its request: the first, the second, … are the same in every run. */
export function derivedIds(service: string, request: KeyedRequest): RequestIds {
  const id = (what: string | number) => {
    const bytes = createHash('sha256')
      .update(JSON.stringify([service, request.operation, request.key, request.fingerprint, what]))
      .digest();
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
      '-',
    );
  };
  let count = 0;
  return { commandId: id('command'), newId: () => id((count += 1)) };
}

/** Checks the header itself. @throws {Problem} 422 */
export function readKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (/^[\x21-\x7e]{1,255}$/.test(header)) return header;
  const message = 'must be 1 to 255 visible ASCII characters';
  throw new Problem(422, 'invalid', `The Idempotency-Key ${message}.`, {
    errors: [{ field: 'Idempotency-Key', pointer: '#', in: 'header', message }],
  });
}

/** Keys in the collection `idempotency_keys` of the service's own database. */
export function createIdempotency(
  database: Connection,
  service: string,
  limits: IdempotencyLimits,
): Idempotency {
  const keys = () => database.collection<KeyDocument>('idempotency_keys');
  const leaseFromNow = () => new Date(Date.now() + limits.leaseMs);

  async function claim(request: KeyedRequest, owner: string): Promise<KeyDocument['answer']> {
    const _id = idOf(request);
    for (let tries = 0; tries < 5; tries += 1) {
      const now = Date.now();
      const lease = { owner, lockedUntil: leaseFromNow() };
      try {
        await keys().insertOne({
          _id,
          fingerprint: request.fingerprint,
          ...lease,
          expiresAt: new Date(now + limits.ttlMs),
        });
        return undefined;
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
      const found = await keys().findOne({ _id });
      if (found === null) continue;
      if (found.expiresAt.getTime() <= now) {
        // The database removes it within a minute; nobody has to wait for that.
        await keys().deleteOne({ _id, expiresAt: found.expiresAt });
        continue;
      }
      if (found.fingerprint !== request.fingerprint) {
        throw new Problem(
          422,
          'idempotency-key-reused',
          'This Idempotency-Key was used for another request.',
        );
      }
      if (found.answer !== undefined) return found.answer;
      if (found.lockedUntil.getTime() > now) throw inProgress();
      const taken = await keys().updateOne(
        { _id, owner: found.owner, lockedUntil: found.lockedUntil, answer: { $exists: false } },
        { $set: lease },
      );
      if (taken.modifiedCount === 1) return undefined;
    }
    throw inProgress();
  }

  /** Renews the lease until it is told to stop: however long the request runs, no repeat runs beside it. */
  function keep(request: KeyedRequest, owner: string): () => void {
    const renew = async () => {
      await keys().updateOne(
        { _id: idOf(request), owner, answer: { $exists: false } },
        { $set: { lockedUntil: leaseFromNow() } },
      );
    };
    const timer = setInterval(() => {
      renew().catch(() => undefined); // the next one tries again
    }, limits.leaseMs / 3);
    timer.unref();
    return () => {
      clearInterval(timer);
    };
  }

  async function finish(request: KeyedRequest, owner: string, response: RouteResponse): Promise<void> {
    await keys().updateOne(
      { _id: idOf(request), owner },
      {
        $set: {
          answer: {
            status: response.status,
            headers: { ...response.headers },
            body: JSON.stringify(response.body ?? null),
          },
        },
      },
    );
  }

  /** A repeat need not wait for the lease; it is nobody's, so that a renewal that is on its way does not lock it again. */
  async function free(request: KeyedRequest, owner: string): Promise<void> {
    await keys()
      .updateOne({ _id: idOf(request), owner }, { $set: { owner: 'nobody', lockedUntil: new Date(0) } })
      .catch(() => undefined);
  }

  return {
    init: async () => {
      await keys().createIndexes([{ key: { expiresAt: 1 }, expireAfterSeconds: 0, name: 'ttl' }]);
    },
    run: async (request, handle) => {
      const owner = randomUUID();
      const known = await claim(request, owner).catch(async (error: unknown) => {
        // It may have been written all the same.
        if (problemOf(error).status >= 500) await free(request, owner);
        throw error;
      });
      if (known !== undefined) {
        return {
          status: known.status,
          headers: { ...known.headers, 'Idempotency-Replayed': 'true' },
          body: JSON.parse(known.body) as unknown,
        };
      }
      const stop = keep(request, owner);
      try {
        const response = await handle(derivedIds(service, request));
        await finish(request, owner, response);
        return response;
      } catch (error) {
        const problem = problemOf(error);
        if (problem.status >= 500) {
          await free(request, owner);
          throw error;
        }
        const response = problemResponse(problem);
        await finish(request, owner, response);
        return response;
      } finally {
        stop();
      }
    },
  };
}

/** A problem as a response, so that it can be stored and repeated. */
export function problemResponse(problem: Problem, instance?: string): RouteResponse {
  return {
    status: problem.status,
    headers: { ...problem.headers, 'Content-Type': 'application/problem+json' },
    body: problem.document(instance),
  };
}

function idOf({ operation, key }: KeyedRequest): string {
  return `${operation} ${key}`;
}

function inProgress(): Problem {
  return new Problem(
    409,
    'idempotency-key-in-use',
    'A request with this Idempotency-Key is being handled now.',
    {
      headers: { 'Retry-After': '1' },
    },
  );
}
