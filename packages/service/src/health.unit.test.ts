import { describe, expect, test } from '@jest/globals';
import { createHealth, healthChecks } from './health.ts';

const state = { state: { isShuttingDown: false } };

describe('health', () => {
  test('says for each dependency whether it is up, and why not', async () => {
    const health = createHealth(() => ({
      mongodb: () => undefined,
      rabbitmq: () => {
        throw new Error('refused amqp://user:hunter2@host');
      },
    }));
    expect(await health()).toMatchObject({
      mongodb: { status: 'up' },
      rabbitmq: { status: 'down', reason: 'refused amqp://***@host' },
    });
  });

  test('gives each check its own time limit', async () => {
    const hung = () => new Promise<void>(() => undefined);
    const health = createHealth(() => ({ slow: hung, quick: () => undefined }), {
      timeLimitMs: 20,
      memoMs: 0,
    });
    expect(await health()).toMatchObject({
      slow: { status: 'down', reason: 'Asking slow took longer than 20 ms' },
      quick: { status: 'up' },
    });
  });

  test('asks a dependency once for many probes at once', async () => {
    let asked = 0;
    const health = createHealth(() => ({ one: () => void (asked += 1) }), {
      timeLimitMs: 100,
      memoMs: 10_000,
    });
    await Promise.all([health(), health(), health()]);
    expect(asked).toBe(1);
  });

  test('of a service that stops: alive, not ready', async () => {
    const checks = healthChecks(
      createHealth(() => ({})),
      () => true,
    );
    const call = (path: string) => (checks[path] as (given: typeof state) => Promise<unknown>)(state);
    await expect(call('/livez')).resolves.toBeUndefined();
    await expect(call('/readyz')).rejects.toMatchObject({ causes: { service: { status: 'down' } } });
    await expect(call('/health')).resolves.toEqual({});
  });
});
