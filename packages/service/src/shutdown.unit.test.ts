import { describe, expect, test } from '@jest/globals';
import { createLog } from './log.ts';
import { runShutdown } from './shutdown.ts';

const log = createLog('test', 'silent');

describe('a shutdown', () => {
  test('runs its steps in order, and goes on after one that fails', async () => {
    const ran: string[] = [];
    const step = (name: string, fails = false) => ({
      name,
      run: () => {
        ran.push(name);
        return fails ? Promise.reject(new Error('no')) : Promise.resolve();
      },
    });
    const outcome = await runShutdown([step('a'), step('b', true), step('c')], 1000, log);
    expect(ran).toEqual(['a', 'b', 'c']);
    expect(outcome.failed).toEqual(['b']);
  });

  test('ends by its deadline, whatever hangs', async () => {
    const hung = { name: 'hung', run: () => new Promise<void>(() => undefined) };
    const outcome = await runShutdown([hung, hung], 100, log);
    expect(outcome.failed).toEqual(['hung', 'hung']);
    expect(outcome.ms).toBeLessThan(1000);
  });
});
