import { describe, expect, test } from '@jest/globals';
import { eventually, testBroker, testDatabase } from '@warren/environment/testing';
import { ask, openWorkbench } from '@warren/service/testing';
import mongoose from 'mongoose';
import { userIdFor } from './emails.ts';
import { userService } from './index.ts';

const bench = async () => openWorkbench({ broker: await testBroker(), database: await testDatabase() });

interface User {
  readonly id: string;
  readonly email: string;
}

const create = (url: string, body: unknown, headers = {}) => ask<User>(`${url}/users`, { body, headers });
const ada = { email: 'ada@example.com', name: 'Ada Lovelace' };

describe('the user service', () => {
  test('creates a user, shows it, and publishes that it was created', async () => {
    await using ground = await bench();
    const { url } = await ground.start(userService);
    const { status, headers, body } = await create(url, ada);
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(`/users/${body.id}`);
    const shown = await ask<User>(`${url}/users/${body.id}`);
    expect(shown).toMatchObject({ status: 200, body: { id: body.id, ...ada } });
    await eventually(() => ground.spy.messages.length === 1);
    expect(ground.spy.events('UserCreated')).toMatchObject([
      { data: { userId: body.id, ...ada }, source: 'user' },
    ]);
  });

  test('gives an email to one user only, however many ask at once', async () => {
    await using ground = await bench();
    const { url } = await ground.start(userService);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        create(url, { ...ada, email: index % 2 === 0 ? 'ada@example.com' : ' ADA@example.com' }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(9).fill(409)]);
    expect(answers.find(({ status }) => status === 409)).toMatchObject({
      type: 'application/problem+json',
      body: { reason: 'email-taken' },
    });
    await eventually(() => ground.spy.messages.length === 1);
  });

  test('gives away an email whose first request died after the reservation', async () => {
    await using ground = await bench();
    const { url } = await ground.start(userService);
    const connection = await mongoose.createConnection(ground.env['MONGODB_URL'] ?? '').asPromise();
    await userIdFor(connection, ada.email, 'user-of-the-dead-request');
    await connection.close();
    expect(await create(url, ada)).toMatchObject({ status: 201, body: { id: 'user-of-the-dead-request' } });
    expect((await create(url, ada)).status).toBe(409);
  });

  test('answers a repeat under the same Idempotency-Key as the first time', async () => {
    await using ground = await bench();
    const { url } = await ground.start(userService);
    const first = await create(url, ada, { 'Idempotency-Key': 'k1' });
    expect(await create(url, ada, { 'Idempotency-Key': 'k1' })).toMatchObject({
      status: 201,
      body: first.body,
    });
    expect((await create(url, ada, { 'Idempotency-Key': 'k2' })).status).toBe(409);
  });

  test('names what is wrong with a request', async () => {
    await using ground = await bench();
    const { url } = await ground.start(userService);
    const answer = await create(url, { email: 'nobody', name: '' });
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'email' }, { field: 'name' }] } });
    expect((await ask(`${url}/users/nobody`)).status).toBe(404);
  });
});
