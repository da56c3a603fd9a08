import { describe, expect, test } from '@jest/globals';
import mongoose from 'mongoose';
import { isDuplicateKey, isTransient, persisting } from './database.ts';

const { MongoError, MongoServerError, MongoWriteConcernError } = mongoose.mongo;

describe('the database is in the way', () => {
  test.each([1, 6, 7, 64, 89, 91, 10107, 11600])('when it answers with code %d', (code) => {
    expect(isTransient(new MongoServerError({ message: 'not now', code }))).toBe(true);
  });

  test('when a write was not acknowledged by a majority, or the driver may try again', () => {
    const writeConcernError = { code: 100, errmsg: 'late' };
    expect(isTransient(new MongoWriteConcernError({ ok: 1, writeConcernError }))).toBe(true);
    const errorLabels = ['RetryableWriteError'];
    expect(isTransient(new MongoServerError({ message: 'stale', code: 150, errorLabels }))).toBe(true);
  });

  test('when it has had no connection free for too long', () => {
    const error = Object.defineProperty(new MongoError('Timed out'), 'name', {
      value: 'MongoWaitQueueTimeoutError',
    });
    expect(isTransient(error)).toBe(true);
  });

  test('not when it refuses what it was given', () => {
    expect(isTransient(new MongoServerError({ message: 'unauthorized', code: 13 }))).toBe(false);
    expect(isTransient(new MongoServerError({ message: 'duplicate key', code: 11000 }))).toBe(false);
  });

  test.each([1, 6, 7, 64, 89, 91])('not when somebody else fails with code %d', (code) => {
    expect(isTransient(Object.assign(new Error('PERMISSION_DENIED'), { code }))).toBe(false);
  });
});

test('only the database has duplicate keys', () => {
  expect(isDuplicateKey(new MongoServerError({ message: 'E11000', code: 11000 }))).toBe(true);
  expect(isDuplicateKey(Object.assign(new Error('E11000'), { code: 11000 }))).toBe(false);
});

test('what must be written is tried until the database has answered, and no longer', async () => {
  const answers: unknown[] = [
    ...Array.from({ length: 5 }, () => new MongoServerError({ message: 'not now', code: 91 })),
    new MongoServerError({ message: 'unauthorized', code: 13 }),
    'never asked',
  ];
  const ask = (): Promise<unknown> => {
    const answer = answers.shift();
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  await expect(persisting(ask)).rejects.toMatchObject({ code: 13 });
  expect(answers).toEqual(['never asked']);
});
