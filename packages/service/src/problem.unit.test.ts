import { describe, expect, test } from '@jest/globals';
import { LogNewerError } from '@warren/event-store';
import { z } from 'zod';
import { Refusal, TimeLimitError } from './errors.ts';
import { invalid, Problem, problemOf } from './problem.ts';
import { asEvent } from './testing/given.ts';

const parserError = (more: object) => Object.assign(new Error('from the parser'), more);

describe('a problem', () => {
  test('names each wrong field by its path and its JSON pointer', () => {
    const schema = z.object({ lines: z.array(z.object({ quantity: z.int() })), name: z.string() });
    const { error } = schema.safeParse({ lines: [{ quantity: 1 }, { quantity: 'two' }] });
    const problem = invalid('body', error?.issues ?? []);
    expect(problem.status).toBe(422);
    expect(problem.document('r1')).toMatchObject({
      type: 'urn:warren:problem:invalid',
      status: 422,
      instance: 'urn:request:r1',
      errors: [
        { field: 'lines[1].quantity', pointer: '#/lines/1/quantity', in: 'body' },
        { field: 'name', pointer: '#/name', in: 'body' },
      ],
    });
  });

  test('names unknown fields of strict bodies', () => {
    const { error } = z.strictObject({}).safeParse({ 'a/b': 1 });
    expect(invalid('body', error?.issues ?? []).errors).toMatchObject([{ field: 'a/b', pointer: '#/a~1b' }]);
  });

  test('is 409 with its reason when the domain refuses', () => {
    expect(problemOf(new Refusal('email-taken', 'Taken.')).document()).toMatchObject({
      status: 409,
      reason: 'email-taken',
      detail: 'Taken.',
    });
  });

  test('is 400 or 413 for what the body parser refuses, without quoting the body', () => {
    const malformed = problemOf(
      parserError({
        status: 400,
        type: 'entity.parse.failed',
        message: `Unexpected token 's', "secret" is not valid`,
      }),
    );
    expect(malformed.status).toBe(400);
    expect(JSON.stringify(malformed.document())).not.toContain('secret');
    expect(problemOf(parserError({ status: 413, type: 'entity.too.large', limit: 10 })).status).toBe(413);
    expect(problemOf(parserError({ status: 415, type: 'charset.unsupported' })).status).toBe(415);
  });

  test('is 503 with Retry-After when the database is away', () => {
    const away = Object.assign(new Error('connect ECONNREFUSED'), { name: 'MongoServerSelectionError' });
    expect(problemOf(away)).toMatchObject({ status: 503, headers: { 'Retry-After': '2' } });
  });

  test('is 503 with Retry-After when a newer version of the service has written what is read', () => {
    const newer = new LogNewerError(asEvent({ type: 'OrderPlaced', data: {} }), {});
    expect(problemOf(newer)).toMatchObject({
      status: 503,
      message: 'The service is being updated. Try again soon.',
      headers: { 'Retry-After': '2' },
    });
  });

  test('is 503 with Retry-After when it took too long', () => {
    expect(problemOf(new TimeLimitError('The request took longer than 20000 ms'))).toMatchObject({
      status: 503,
      message: 'This takes too long, and may still be done. Try again soon.',
      headers: { 'Retry-After': '2' },
    });
  });

  test('is 500 without a word about the inside for everything else', () => {
    const problem = problemOf(new Error('password is hunter2'));
    expect(problem).toBeInstanceOf(Problem);
    expect(problem.status).toBe(500);
    expect(JSON.stringify(problem.document())).not.toContain('hunter2');
    expect(problemOf('a string').status).toBe(500);
    expect(problemOf(parserError({ status: 500 })).status).toBe(500);
  });
});
