import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { SettingsError } from './errors.ts';
import { readSettings } from './settings.ts';

const env = { MONGODB_URL: 'mongodb://127.0.0.1/shop' };
const none = z.object({});

describe('settings', () => {
  test('have defaults for everything but the database', () => {
    expect(readSettings(none, env)).toMatchObject({
      PORT: 3000,
      LOG_LEVEL: 'info',
      SHUTDOWN_DEADLINE_MS: 20_000,
    });
  });

  test('include what a service adds', () => {
    const own = z.object({ PAYMENT_LIMIT: z.coerce.number().default(1000) });
    expect(readSettings(own, { ...env, PAYMENT_LIMIT: '12.5' }).PAYMENT_LIMIT).toBe(12.5);
    expect(readSettings(own, { ...env, PAYMENT_LIMIT: '' }).PAYMENT_LIMIT).toBe(1000);
  });

  test('name every wrong variable at once, and what a missing one is for', () => {
    const wrong = { PORT: 'eighty', LOG_LEVEL: 'loud' };
    expect(() => readSettings(none, wrong)).toThrow(SettingsError);
    expect(() => readSettings(none, wrong)).toThrow(
      /PORT: .*\n.*LOG_LEVEL: |MONGODB_URL is not set: database/s,
    );
    expect(() => readSettings(none, wrong)).toThrow(/MONGODB_URL is not set: database/);
  });

  test('never repeat a value, which may be a secret', () => {
    const secret = { ...env, RABBITMQ_URL: 'http://user:hunter2@host' };
    expect(() => readSettings(none, secret)).toThrow(/RABBITMQ_URL: must begin with amqp:\/\/ or amqps:\/\//);
    expect(() => readSettings(none, secret)).not.toThrow(/hunter2/);
  });
});
