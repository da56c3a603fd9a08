import { describe, expect, jest, test } from '@jest/globals';
import { shopCatalogue, UserCreated } from '@warren/contracts';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { mongo } from 'mongoose';
import { z } from 'zod';
import { createDatabase } from './database.ts';
import { defineService } from './definition.ts';
import { Refusal } from './errors.ts';
import { createIdempotency } from './idempotency.ts';
import { route } from './route.ts';
import type { RouteResponse } from './route.ts';
import { ask, openWorkbench } from './testing/index.ts';

/** What happens inside of the handler; the test decides. */
type Work = (request: { name: string; newId: () => string; commandId: string }) => Promise<void>;

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

const service = (work: Work) =>
  defineService({
    name: 'user',
    catalogue: shopCatalogue,
    parts: (app) => ({
      routes: [
        route({
          method: 'post',
          path: '/users',
          summary: 'Makes a user.',
          body: z.object({ name: z.string().min(1), email: z.string().default('nobody@example.com') }),
          responses: { 201: { description: 'Made' } },
          handle: async ({ body: { name, email }, newId, commandId }) => {
            const userId = newId();
            await work({ name, newId, commandId });
            await app.execute(
              {
                initial: 0,
                evolve: (count: number) => count + 1,
                decide: (_: object, count) =>
                  count === 0 ? [UserCreated.create({ userId, email, name })] : [],
              },
              userId,
              {},
            );
            return { status: 201, headers: { Location: `/users/${userId}` }, body: { id: userId, name } };
          },
        }),
      ],
    }),
  });

interface Made {
  readonly id: string;
  readonly name: string;
  readonly reason?: string;
}

const post = (url: string, body: unknown, key?: string) =>
  ask<Made>(`${url}/users`, { body, headers: key === undefined ? {} : { 'Idempotency-Key': key } });

/** Runs one and the same request under one key, without a service. */
async function openKeys({ leaseMs }: { leaseMs: number }) {
  const ground = await testDatabase();
  const database = createDatabase();
  await database.openUri(ground.url);
  const idempotency = createIdempotency(database, 'user', { ttlMs: 60_000, leaseMs });
  const request = { key: 'key-1', operation: 'POST /users', fingerprint: 'Ada' };
  return {
    keys: database.collection<{ lockedUntil: Date }>('idempotency_keys'),
    run: (handle = () => Promise.resolve<RouteResponse>({ status: 201 })) => idempotency.run(request, handle),
    [Symbol.asyncDispose]: async () => {
      await database.close();
      await ground[Symbol.asyncDispose]();
    },
  };
}

describe('an Idempotency-Key on a POST', () => {
  test('gives the same answer and one effect for the same request, also after a restart', async () => {
    await using ground = await bench();
    let runs = 0;
    const definition = service(() => {
      runs += 1;
      return Promise.resolve();
    });
    const running = await ground.start(definition);
    const first = await post(running.url, { name: 'Ada' }, 'key-1');
    expect(first.status).toBe(201);
    await running.stop();
    const restarted = await ground.start(definition);
    const second = await post(restarted.url, { name: 'Ada', email: 'nobody@example.com' }, 'key-1');
    expect(second).toMatchObject({ status: 201, body: first.body });
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(runs).toBe(1);
    const other = await post(restarted.url, { name: 'Ada' }, 'key-2');
    expect(other.body.id).not.toBe(first.body.id);
    await eventually(() => ground.spy.events('UserCreated').length === 2);
  });

  test('is refused with 422 for another request', async () => {
    await using ground = await bench();
    const { url } = await ground.start(service(() => Promise.resolve()));
    await post(url, { name: 'Ada' }, 'key-1');
    expect(await post(url, { name: 'Eve' }, 'key-1')).toMatchObject({
      status: 422,
      type: 'application/problem+json',
      body: { reason: 'idempotency-key-reused' },
    });
  });

  test('is refused with 409 while the first request runs, and answers after it', async () => {
    await using ground = await bench();
    const gate = Promise.withResolvers<undefined>();
    let entered = 0;
    const { url } = await ground.start(
      service(async () => {
        entered += 1;
        await gate.promise;
      }),
    );
    const first = post(url, { name: 'Ada' }, 'key-1');
    await eventually(() => entered === 1);
    const second = await post(url, { name: 'Ada' }, 'key-1');
    expect(second).toMatchObject({ status: 409, body: { reason: 'idempotency-key-in-use' } });
    expect(second.headers.get('retry-after')).toBe('1');
    gate.resolve(undefined);
    expect((await first).status).toBe(201);
    expect((await post(url, { name: 'Ada' }, 'key-1')).body).toEqual((await first).body);
    expect(entered).toBe(1);
  });

  test('holds while a request goes on that was answered 503 because it took too long', async () => {
    await using ground = await bench();
    const gate = Promise.withResolvers<undefined>();
    let runs = 0;
    const { url } = await ground.start(
      service(async () => {
        runs += 1;
        await gate.promise;
      }),
      { REQUEST_TIMEOUT_MS: '300' },
    );
    const late = await post(url, { name: 'Ada' }, 'key-1');
    expect(late).toMatchObject({ status: 503, body: { reason: 'unavailable' } });
    expect(late.headers.get('retry-after')).toBe('2');
    expect((await post(url, { name: 'Ada' }, 'key-1')).status).toBe(409);
    gate.resolve(undefined);
    const answer = await eventually(async () => {
      const again = await post(url, { name: 'Ada' }, 'key-1');
      return again.status === 201 ? again : undefined;
    });
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect(runs).toBe(1);
  });

  test('holds for longer than its lease while the request runs, and no longer when that has failed', async () => {
    await using ground = await openKeys({ leaseMs: 1000 });
    const gate = Promise.withResolvers<RouteResponse>();
    const first = ground.run(() => gate.promise);
    const { lockedUntil } = await eventually(() => ground.keys.findOne());
    await eventually(() => lockedUntil.getTime() < Date.now());
    await expect(ground.run()).rejects.toMatchObject({ status: 409, reason: 'idempotency-key-in-use' });
    gate.reject(new Error('the disk is full'));
    await expect(first).rejects.toThrow('the disk is full');
    expect(await ground.run()).toEqual({ status: 201 });
  });

  test('lets a repeat run at once where the database did not say that it was taken', async () => {
    await using ground = await openKeys({ leaseMs: 60_000 });
    const { keys } = ground;
    const insert = keys.insertOne.bind(keys);
    jest.spyOn(keys, 'insertOne').mockImplementationOnce(async (document) => {
      await insert(document);
      throw new mongo.MongoNetworkError('gone');
    });
    await expect(ground.run()).rejects.toThrow('gone');
    expect(await ground.run()).toEqual({ status: 201 });
  });

  test('of many requests at once lets one through', async () => {
    await using ground = await bench();
    const { url } = await ground.start(service(() => Promise.resolve()));
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(url, { name: 'Ada' }, 'key-1')));
    expect([...new Set(answers.map(({ status }) => status))].filter((status) => status !== 409)).toEqual([
      201,
    ]);
    expect(new Set(answers.filter(({ status }) => status === 201).map(({ body }) => body.id)).size).toBe(1);
    await eventually(() => ground.spy.events('UserCreated').length === 1);
  });

  test('remembers a refusal, and after a failure of ours lets the same request run at once, and no other', async () => {
    await using ground = await bench();
    const failures: Error[] = [new Error('the disk is full'), new Refusal('no-more', 'No more users.')];
    const { url } = await ground.start(
      service(() => {
        const failure = failures.shift();
        return failure === undefined ? Promise.resolve() : Promise.reject(failure);
      }),
    );
    expect((await post(url, { name: 'Ada' }, 'key-1')).status).toBe(500);
    expect(await post(url, { name: 'Eve' }, 'key-1')).toMatchObject({
      status: 422,
      body: { reason: 'idempotency-key-reused' },
    });
    const refused = await post(url, { name: 'Ada' }, 'key-1');
    expect(refused).toMatchObject({ status: 409, body: { reason: 'no-more' } });
    const again = await post(url, { name: 'Ada' }, 'key-1');
    expect(again).toMatchObject({
      status: 409,
      type: 'application/problem+json',
      body: { reason: 'no-more' },
    });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  test('derives the ids, so that a repeat after a failure between effect and answer makes the same thing', async () => {
    await using ground = await bench();
    const ids: string[] = [];
    const commands: string[] = [];
    const { url } = await ground.start(
      service(({ newId, commandId }) => {
        ids.push(newId());
        commands.push(commandId);
        return ids.length === 1 ? Promise.reject(new Error('died here')) : Promise.resolve();
      }),
    );
    await post(url, { name: 'Ada' }, 'key-1');
    await post(url, { name: 'Ada' }, 'key-1');
    await post(url, { name: 'Ada' }, 'key-2');
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(ids[1]).toBe(ids[0]);
    expect(commands[1]).toBe(commands[0]);
    expect(ids[2]).not.toBe(ids[0]);
  });

  test('is forgotten after its time', async () => {
    await using ground = await bench();
    const { url } = await ground.start(
      service(() => Promise.resolve()),
      { IDEMPOTENCY_TTL_MS: '1000' },
    );
    const first = await post(url, { name: 'Ada' }, 'key-1');
    await eventually(async () => (await post(url, { name: 'Eve' }, 'key-1')).status === 201);
    expect((await post(url, { name: 'Eve' }, 'key-1')).body.id).not.toBe(first.body.id);
  });
});
